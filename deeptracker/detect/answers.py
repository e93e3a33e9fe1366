"""Everything that runs along validation passes: left and right counts, class scores, who flipped when.

Counts of all classes and k are hundreds of numbers a class and pass, and no process ever holds them all: a task works
on a window of passes, with the runs of all passes before and after it handed in, and writes what it found.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask import delayed

from deeptracker.aggregate import Batch, Later, Runs, Source
from deeptracker.conform import build
from deeptracker.detect.classes import SETTLING, WINDOW, class_level, class_rate, class_scores, counts, long_run
from deeptracker.detect.flips import runs, survival
from deeptracker.schema.derived import DIRECTIONS, RULES

if TYPE_CHECKING:
    from deeptracker.store import Run

Index = npt.NDArray[np.int64]

LONGEST = 100
FALSE_PER_1000 = 0.1
EVIDENCE_SHARE = 0.6
"""Of the class level: enough to name a class of an event that others prove."""

_ROW_BYTES, _WINDOW_BYTES = 4 << 20, 58 << 20  # of a file of counts; of answers and run lengths that a task holds
_LOOKS_BACK = 2 * WINDOW + 1  # passes: the scale's window of residuals, each with its images' own window of changes

HIGH = np.dtype(
    [("pass", "i8"), ("class", "i4"), ("direction", "i1"), ("rule", "i1"), ("score", "f8"), ("observed", "i8"),
     ("expected", "f8")]
)  # fmt: skip
"""A class that stands out at a pass: its strongest rule, and its changes, seen and expected."""


@dataclass(slots=True)
class Answers:
    """Of one validation set: its classes by name, the alarm level, and all that stands near it (``HIGH``)."""

    view: str
    passes: Index
    classes: list[str]
    level: float
    length: int
    high: npt.NDArray[Any]
    per_1000: float

    def false_per_1000(self, score: float) -> float:
        """False alarms expected per 1,000 iterations at this height of a class score."""
        return class_rate(score, len(self.classes), self.per_1000)

    def lost(self, run: Run, place: int, chosen: list[int], most: int) -> list[int | str]:
        """Ids of images that were right at the pass before ``place`` and wrong at it, of these classes (or all)."""
        correct = run.dataset(f"validation/{self.view}")["correct"][place - 1 : place + 1].values
        flipped = (correct[0] == 1) & (correct[1] == 0)
        images = run.dataset(f"images/{self.view.split('/')[0]}")
        if chosen:
            flipped &= np.isin(images["target"].values, chosen)
        return [value for value in images["image"].values[flipped][:most].tolist()]  # noqa: C416 - plain types


class _Set:
    """What every window of a validation set needs; no dataclass, since Dask would look for tasks in its fields."""

    def __init__(self, borders: Index, length: int, quiet: npt.NDArray[np.bool_], near: float) -> None:
        self.borders, self.length, self.quiet, self.near = borders, length, quiet, near


def _runs_in(source: Source, start: int, stop: int) -> Runs:
    return Runs.of(source.read("correct", start, stop))


def _window(
    source: Source, along: _Set, span: tuple[int, int], earlier: Runs, later: Runs, into: dict[str, Any]
) -> npt.NDArray[Any]:
    """One task: counts and scores of the passes [start, stop), written; what stands near the alarm level."""
    start, stop = span
    (read,) = reads_from([start, stop])
    correct = source.read("correct", read, stop)
    before, after = runs(correct, earlier, later)
    rows, longest = into["left"].file_rows, into["left"].shape[2]
    for at in range(start, stop, rows):
        here = slice(at - read, min(at + rows, stop) - read)
        for name, lengths in (("left", before), ("right", after)):
            into[name].put(at, survival(lengths[here], correct[here], along.borders, longest))
    first = max(start - WINDOW, 0)
    found = counts(correct, before, after, along.borders, along.length, first - read)
    kept = slice(start - first, None)
    scores = class_scores(found, along.quiet[first:stop], first)[kept]
    into["class_score"].put(start, scores)
    known = np.nan_to_num(scores, nan=-np.inf)
    peak, rule = known.max(3), known.argmax(3)
    high = np.nonzero(peak >= along.near)
    out = np.empty(len(high[0]), HIGH)
    out["pass"], out["class"], out["direction"] = high[0] + start, high[1], high[2]
    out["rule"], out["score"] = rule[high], peak[high]
    out["observed"], out["expected"] = found.observed[kept][..., 0][high], found.expected[kept][..., 0][high]
    return out


def score_answers(batch: Batch, run: Run, view: str, rate_changes: Index, writer: Any) -> Later[Answers]:
    """Left and right rule and class scores of ``view`` = set/weights, written as ``anomalies/validation/…/classes``.

    ``rate_changes`` (iterations) are jumps of the learning rate: for ten passes after each, answers settle in all
    classes and get no score.
    """
    source = Source(run, f"validation/{view}")
    passes = source.dataset["validation"].values.astype(np.int64)
    images = run.dataset(f"images/{view.split('/')[0]}")
    classes = [str(name) for name in images["class"].values]
    target = images["target"].values
    borders = np.searchsorted(target, np.arange(len(classes) + 1)).astype(np.int64)
    span = max(int(passes[-1] - passes[0]), 1)
    per_1000 = 1000 * (len(passes) - 1) / span
    level = class_level(len(classes), per_1000, FALSE_PER_1000)
    along = _Set(borders, long_run(len(passes)), _settling(passes, rate_changes), EVIDENCE_SHARE * level)
    rows, edges = cut_passes(len(passes), len(target), len(classes))
    into = _begin(writer, view, passes, classes, level, rows)
    tasks, shared = [], delayed(along, pure=False, traverse=False)
    for at, (earlier, later) in enumerate(_handed_on(source, edges, len(target))):
        tasks.append(delayed(_window, pure=False)(source, shared, (edges[at], edges[at + 1]), earlier, later, into))
    return batch.add(
        tasks, lambda high: Answers(view, passes, classes, level, along.length, np.concatenate(high), per_1000)
    )


def cut_passes(passes: int, images: int, classes: int) -> tuple[int, list[int]]:
    """Passes in a file of counts, a power of two from 16 on, and the edges of the windows.

    A file is about 4 MiB; a task can hold the run lengths of a window, and of the passes that it looks back on.
    """
    row = max(classes * min(LONGEST, passes) * 2 * 4, 1)
    held = _WINDOW_BYTES // (5 * max(images, 1))
    most = min(_ROW_BYTES // row, held, 4096)
    rows = 1 << max(most.bit_length() - 1, 4)
    # What a window looks back on is read once more for it; but at least four windows keep the workers busy.
    size = rows * max(1, min(held, max(passes // 4, 2 * _LOOKS_BACK)) // rows)
    return rows, [*range(0, passes, size), passes]


def _handed_on(source: Source, edges: list[int], images: int) -> list[tuple[Any, Any]]:
    """Of each window the runs of all passes before the first that it reads, and of all after its last."""
    reads = reads_from(edges)
    there = delayed(_runs_in, pure=False)
    nothing = delayed(Runs.nothing(images), pure=False, traverse=False)
    earlier, later = [nothing], [nothing]
    for first, stop in itertools.pairwise(reads):
        piece = there(source, first, stop) if stop > first else nothing
        earlier.append(delayed(Runs.then, pure=False)(earlier[-1], piece))
    for start, stop in reversed(list(itertools.pairwise(edges[1:]))):
        later.insert(0, delayed(Runs.then, pure=False)(there(source, start, stop), later[0]))
    return list(zip(earlier, later, strict=True))


def reads_from(edges: list[int]) -> list[int]:
    """The first pass that each window reads."""
    return [max(edge - _LOOKS_BACK, 0) for edge in edges[:-1]]


def _settling(passes: Index, rate_changes: Index) -> npt.NDArray[np.bool_]:
    since = np.full(len(passes), SETTLING)
    for jump in rate_changes:
        after = np.flatnonzero(passes >= jump)
        since[after] = np.minimum(since[after], np.arange(len(after)))
    return since < SETTLING


def _begin(writer: Any, view: str, passes: Index, classes: list[str], level: float, rows: int) -> dict[str, Any]:
    group, count, longest = f"anomalies/validation/{view}/classes", len(passes), min(LONGEST, len(passes))
    # The arrays that tasks fill are only declared here.
    sides = da.zeros((count, len(classes), longest, 2), dtype=np.int32, chunks=-1)
    final = np.arange(count)[:, None] + np.arange(longest)[None] < count
    arrays = {
        "left": sides,
        "right": sides,
        "final": final.astype(np.int8),
        "class_score": da.zeros((count, len(classes), 2, len(RULES)), dtype=np.float32, chunks=-1),
        "class_level": np.full(count, level, np.float32),
    }
    axes = {
        "validation": passes,
        "class": classes,
        "k": np.arange(1, longest + 1),
        "direction": list(DIRECTIONS),
        "rule": list(RULES),
    }
    out: dict[str, Any] = writer.begin(group, build(group, arrays, axes), rows=rows)
    return out


__all__ = ["EVIDENCE_SHARE", "LONGEST", "Answers", "cut_passes", "reads_from", "score_answers"]
