"""What was taken for what: classes against answers at two passes, and what changed between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from deeptracker.screen import coordinate, table
from deeptracker.screen.answers import classes_of
from deeptracker.screen.kept import Kept, state_of
from deeptracker.view import palettes, words
from deeptracker.view.places import short
from deeptracker.view.timeline import named_rows, plain

MOST = 30
"""Classes that are drawn: those with most answers that differ between the two passes."""
SIZE = 236
_kept: Kept[Compared] = Kept(64)


def passes_at(run: Any, view: str, first: float, last: float) -> tuple[int, int]:
    """Numbers of the last pass at or before each of two iterations; the first pass where there is none."""
    at = coordinate(run, f"validation/{view}", "validation")
    first, last = sorted((first, last))
    a, b = (max(0, int(np.searchsorted(at, one, side="right")) - 1) for one in (first, last))
    return a, b


def confusion(run: Any, view: str, number: int, classes: int) -> NDArray[np.int64]:
    """Images (true class, answer) of one pass; images without a class or an answer do not count."""
    said = table(run, f"validation/{view}", ["predicted"], select={"validation": slice(number, number + 1)})
    predicted = np.asarray(said["predicted"].values[0], dtype=np.int64)
    target = classes_of(run, view).target.astype(np.int64)
    known = (target >= 0) & (predicted >= 0) & (target < classes) & (predicted < classes)
    return np.bincount(target[known] * classes + predicted[known], minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two passes. ``kept``: positions of the classes whose answers differ most; ``before``, ``after``: images (class,
    answer) of those; ``wrong``: the most images of any class that were taken for one other.
    """

    kept: NDArray[np.intp]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    wrong: float


def compared(run: Any, view: str, a: int, b: int, classes: int) -> Compared:
    """Passes number ``a`` and ``b``; kept for a while, since people look at the same events."""
    state = state_of(run)
    if state is None:
        return _compared(run, view, a, b, classes)
    return _kept.get((state, view, a, b), lambda: _compared(run, view, a, b, classes), lambda _: 1)


def _compared(run: Any, view: str, a: int, b: int, classes: int) -> Compared:
    before, after = (confusion(run, view, number, classes) for number in (a, b))
    kept = np.arange(classes)
    if classes > MOST:
        moved = np.abs(after - before)
        kept = np.sort(np.argsort(-(moved.sum(axis=0) + moved.sum(axis=1)), kind="stable")[:MOST])
    wrong = float(max(int((m - np.diag(np.diag(m))).max(initial=1)) for m in (before, after)))
    part = np.ix_(kept, kept)
    return Compared(kept, before[part], after[part], wrong)


class Confusion:
    """Three figures: the pass in force at ``first``, that at ``last``, and the difference; none without classes."""

    def __init__(self, run: Any, view: str) -> None:
        self.run, self.view = run, view
        self.names = list(classes_of(run, view).names)
        count = min(len(self.names), MOST)
        self.matrices = [_Matrix(count, differs) for differs in (False, False, True)] if count > 1 else []
        self.plots = [one.plot for one in self.matrices]

    def show(self, first: float, last: float) -> None:
        """Compare two passes; of many classes those are drawn whose answers differ most."""
        if not self.matrices:
            return
        count = len(self.names)
        at = coordinate(self.run, f"validation/{self.view}", "validation")
        a, b = passes_at(self.run, self.view, first, last)
        two = compared(self.run, self.view, a, b, count)
        labels = [words.class_name(self.names[i]) for i in two.kept]
        left_out = f", {len(two.kept)} of {count} classes" if len(two.kept) < count else ""
        differ = two.after - two.before
        shown = (
            (two.before, two.wrong, f"pass at {int(at[a]):,}{left_out}"),
            (two.after, two.wrong, f"pass at {int(at[b]):,}{left_out}"),
            (differ, float(np.abs(differ).max(initial=1)), f"change from {int(at[a]):,} to {int(at[b]):,}"),
        )
        for matrix, (counts, high, title) in zip(self.matrices, shown, strict=True):
            matrix.show(counts, labels, title, high)


class _Matrix:
    """A row a class, a column an answer; right answers are left pale so that mistakes are seen."""

    def __init__(self, count: int, differs: bool) -> None:
        self.differs = differs
        plot = self.plot = plain(
            figure(
                width=SIZE + 104, height=SIZE + 96, sizing_mode="fixed", tools="", toolbar_location=None, title="",
                x_range=Range1d(0, count), y_range=Range1d(0, count), border_fill_color=palettes.PAPER,
                outline_line_color=palettes.FAINT,
            )
        )  # fmt: skip
        plot.title.text_font_size = "11px"
        colours = palettes.CHANGE if differs else palettes.ERROR
        self.mapper = LinearColorMapper(low=0, high=1, palette=list(colours), nan_color=palettes.MISSING)
        self.image = ColumnDataSource({"image": []})
        plot.image("image", 0, 0, count, count, source=self.image, color_mapper=self.mapper)
        self.cells = ColumnDataSource({"x": [], "y": [], "of": [], "as": [], "images": []})
        boxes = plot.rect("x", "y", 1, 1, source=self.cells, fill_alpha=0, line_color=None)
        tips = [("class", "@of"), ("answered", "@as"), ("images", "@images{+0}" if differs else "@images")]
        plot.add_tools(HoverTool(renderers=[boxes], tooltips=tips))
        plot.xaxis.major_label_orientation = 0.9
        plot.xaxis.axis_label, plot.yaxis.axis_label = "answer", "class"

    def show(self, matrix: NDArray[np.int64], names: list[str], title: str, high: float) -> None:
        count = len(names)
        shown = matrix.astype(np.float32)
        if not self.differs:
            shown[np.arange(count), np.arange(count)] = np.nan
        self.plot.title.text = title
        self.mapper.update(low=-high if self.differs else 0.0, high=high)
        self.image.data = {"image": [np.ascontiguousarray(shown[::-1])]}
        row, column = np.divmod(np.arange(count * count), count)
        self.cells.data = {
            "x": column + 0.5,
            "y": count - row - 0.5,
            "of": [names[i] for i in row],
            "as": [names[i] for i in column],
            "images": matrix.ravel(),
        }
        places = [i + 0.5 for i in range(count)]
        few = [short(name, 12) for name in names]
        named_rows(self.plot.xaxis, places, few, "10px")
        named_rows(self.plot.yaxis, [count - place for place in places], few, "10px")


__all__ = ["Confusion", "confusion", "passes_at"]
