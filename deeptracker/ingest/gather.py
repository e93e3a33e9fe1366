"""All sources of one training into one run: what each gives, and what happens where two give the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deeptracker.errors import DeepTrackerError, InputError
from deeptracker.ingest.foreign import understood
from deeptracker.ingest.outcome import Outcome
from deeptracker.ingest.passes import PassSet, PassTable, read_passes
from deeptracker.ingest.scalars import Scalars, whole
from deeptracker.ingest.series import Series
from deeptracker.ingest.sources import Sources
from deeptracker.ingest.tables import counts_epochs, named, read_table
from deeptracker.ingest.tracker import Tracked, read_tracker, write_histograms
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.sink import Sink

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[str, float], None]


class Gathering:
    """Reads sources and writes them to a sink. Small parts are read before anything is written.

    Raises
    ------
    InputError
        From the constructor: checkpoints are there, and none can be used.
    """

    def __init__(
        self,
        sources: Sources,
        outcome: Outcome,
        *,
        include: str | None = None,
        exclude: str | None = None,
        steps_per_epoch: int | None = None,
        progress: Progress,
    ) -> None:
        if steps_per_epoch is not None and steps_per_epoch < 1:
            raise InputError(f"steps_per_epoch must be a positive whole number, not {steps_per_epoch}")
        self._sources, self._outcome, self._progress = sources, outcome, progress
        self._factor = steps_per_epoch
        self._scalars = Scalars()
        self._series: Series | None = None
        self._tracked = Tracked()
        if sources.checkpoints:
            self._series = Series(
                sources.checkpoints, sources.root, outcome,
                include=include, exclude=exclude, steps_per_epoch=steps_per_epoch,
            )  # fmt: skip
        if sources.events:
            self._tracked = read_tracker(sources.events, sources.root, self._scalars, outcome, progress)
        self._mixed = bool(self._scalars)
        for path in sources.scalars:
            progress(f"table {path.name}", 0.0)
            self._attempt(path, self._take_scalars)
        self._tables: list[PassTable] = []
        for path in sources.answers:
            progress(f"answers {path.name}", 0.0)
            self._attempt(path, self._take_answers)
        if not (self._series or self._tracked.values or self._scalars or self._tables):
            why = "; ".join(f"{what}: {reason}" for what, reason in outcome.grouped()[:3])
            raise InputError(f"nothing of {sources.root} can be used: {why}")

    def write(self, sink: Sink) -> None:
        """Write everything, and complete the outcome."""
        kinds = {
            "checkpoints": self._series, "event files": self._sources.events,
            "tables": self._tables or self._sources.scalars,
        }  # fmt: skip
        outcome = self._outcome
        sink.describe(
            {
                "schema_version": SCHEMA_VERSION,
                "model": self._sources.root.resolve().name,
                "framework": "ingested from " + ", ".join(kind for kind, there in kinds.items() if there),
            }
        )
        if self._series is not None:
            self._series.write(sink, self._scalars, self._progress)
            if self._tracked.values:
                outcome.leave_out("histograms of event files", "the checkpoints tell the same weights exactly")
            if self._series.epochs and self._factor is None and self._mixed:
                outcome.note(
                    "checkpoints count epochs, and event files may count steps: without steps_per_epoch both stand "
                    "as they are"
                )
        elif self._tracked.values:
            write_histograms(sink, self._tracked, outcome)
        rows = self._scalars.write(sink, outcome)
        if rows and (self._sources.events or self._sources.scalars):
            outcome.found.append(f"scalars at {rows:,} iterations")
        for images in self._sets():
            self._progress("answers", 0.0)
            images.write(sink)
            outcome.found.append(f"{len(images.passes)} passes over {len(images.ids):,} images ({images.name})")
        records = len(self._series.iterations) if self._series else len(self._tracked.steps)
        if 0 < records < 300:
            outcome.note(
                f"{records} records: too few for alarm levels (300); the analysis shows, and tells facts only"
            )
        sink.describe({"ingest": outcome.attributes()})

    def _attempt(self, path: Path, take: Callable[[Path], None]) -> None:
        try:
            with understood(path.name):
                take(path)
        except DeepTrackerError as error:
            name = path.relative_to(self._sources.root).as_posix()
            self._outcome.leave_out(name, str(error).removeprefix(f"{path.name}: "))

    def _take_scalars(self, path: Path) -> None:
        table: pd.DataFrame = read_table(path)
        column = named(table)["iteration"]
        if column not in table.select_dtypes(["number", "bool"]):
            raise InputError(f"{path.name}: {column} must be numbers")
        factor = self._factor if self._factor and counts_epochs(table) else 1
        values = table.select_dtypes(["number", "bool"]).drop(columns=column, errors="ignore")
        for other in table.columns:
            if other != column and other not in values:
                self._outcome.leave_out(f"{path.name}: {other}", "not a column of numbers")
        iterations, replaced = table[column].to_numpy(np.float64), self._scalars.replaced
        if nowhere := int(np.isnan(iterations).sum()):
            self._outcome.leave_out(f"{path.name}: {nowhere:,} rows", f"no {column} in them")
        for position, at in enumerate(iterations):
            if np.isnan(at):
                continue
            iteration = whole(at * factor, path.name)
            for name, column_values in values.items():
                value = float(column_values.iloc[position])
                if not np.isnan(value):
                    self._scalars.add(iteration, str(name), value)
        if twice := self._scalars.replaced - replaced:
            self._outcome.note(
                f"{path.name}: {twice:,} scalars were there for their iteration already: the later value counts"
            )

    def _take_answers(self, path: Path) -> None:
        table = read_passes(path)
        if table.epochs and self._factor and table.iterations is not None:
            table.iterations = [iteration * self._factor for iteration in table.iterations]
        self._tables.append(table)

    def _sets(self) -> list[PassSet]:
        """Tables of the same images together; the first set is called ``validation``."""
        sets: list[PassSet] = []
        for table in self._tables:
            iterations = table.iterations if table.iterations is not None else self._borrowed(table)
            images = next((one for one in sets if _same_images(one, table)), None)
            for text in table.notes:
                self._outcome.note(text)
            if ties := sum(one.ties for one in table.passes):
                self._outcome.note(
                    f"{table.name}: in {ties:,} answers two classes have the largest score: the first counts"
                )
            if images is None:
                name = "validation" if not sets else table.name.partition(".")[0]
                images = PassSet(name, table.ids, table.target, table.classes)
                sets.append(images)
                self._outcome.note(f"the images of {table.name} are the set {name!r}")
            images.classes = max(images.classes, table.classes, key=len)
            for iteration, answers in zip(iterations, table.passes, strict=True):
                if iteration in images.passes:
                    self._outcome.leave_out(f"{table.name}, iteration {iteration}", "a second pass at one iteration")
                else:
                    images.passes[iteration] = answers
        return [one for one in sets if one.passes]

    def _borrowed(self, table: PassTable) -> list[int]:
        """Iterations of a table that tells none: those of the checkpoints where there are as many, else 1, 2, …"""
        count = len(table.passes)
        if self._series is not None and len(self._series.iterations) == count:
            self._outcome.note(f"{table.name} tells no iterations: its {count} passes are taken as the checkpoints'")
            return self._series.iterations
        self._outcome.note(f"{table.name} tells no iterations: its passes are counted from 1")
        return list(range(1, count + 1))


def _same_images(images: PassSet, table: PassTable) -> bool:
    """Whether numbers of images and classes mean the same in both; one may know of more classes than the other."""
    same_classes = all(one == other for one, other in zip(images.classes, table.classes, strict=False))
    return same_classes and np.array_equal(images.ids, table.ids) and np.array_equal(images.target, table.target)


__all__ = ["Gathering", "Progress"]
