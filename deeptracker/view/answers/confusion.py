"""What was taken for what: classes against answers at two passes, and what changed between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from deeptracker.screen import coordinate, table
from deeptracker.screen.answers import classes_of
from deeptracker.view import palettes, words
from deeptracker.view.places import short
from deeptracker.view.timeline import named_rows, plain

MOST = 30
"""Classes that are drawn: those with most answers that differ between the two passes."""
SIZE = 236


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


def figures(run: Any, view: str, first: float, last: float) -> list[Any]:
    """Three figures: the pass in force at ``first``, that at ``last``, and the difference; [] without classes."""
    names = list(classes_of(run, view).names)
    if len(names) < 2:
        return []
    at = coordinate(run, f"validation/{view}", "validation")
    a, b = passes_at(run, view, first, last)
    before, after = confusion(run, view, a, len(names)), confusion(run, view, b, len(names))
    kept = np.arange(len(names))
    if len(names) > MOST:
        moved = np.abs(after - before)
        kept = np.sort(np.argsort(-(moved.sum(axis=0) + moved.sum(axis=1)), kind="stable")[:MOST])
    part = np.ix_(kept, kept)
    labels = [words.class_name(names[i]) for i in kept]
    wrong = max(int((m - np.diag(np.diag(m))).max(initial=1)) for m in (before, after))
    left_out = f", {len(kept)} of {len(names)} classes" if len(kept) < len(names) else ""
    return [
        _figure(before[part], labels, f"pass at {int(at[a]):,}{left_out}", float(max(wrong, 1)), differs=False),
        _figure(after[part], labels, f"pass at {int(at[b]):,}{left_out}", float(max(wrong, 1)), differs=False),
        _figure((after - before)[part], labels, f"change from {int(at[a]):,} to {int(at[b]):,}", 0.0, differs=True),
    ]


def _figure(matrix: NDArray[np.int64], names: list[str], title: str, high: float, *, differs: bool) -> Any:
    """One matrix: a row a class, a column an answer; right answers are left pale so that mistakes are seen."""
    count = len(names)
    plot = plain(
        figure(
            width=SIZE + 104, height=SIZE + 96, sizing_mode="fixed", tools="", toolbar_location=None, title=title,
            x_range=Range1d(0, count), y_range=Range1d(0, count), border_fill_color=palettes.PAPER,
            outline_line_color=palettes.FAINT,
        )
    )  # fmt: skip
    plot.title.text_font_size = "11px"
    shown = matrix.astype(np.float32)
    if differs:
        high = float(max(np.abs(shown).max(initial=0), 1))
        mapper = LinearColorMapper(low=-high, high=high, palette=list(palettes.CHANGE))
    else:
        shown[np.arange(count), np.arange(count)] = np.nan
        mapper = LinearColorMapper(low=0, high=high, palette=list(palettes.ERROR), nan_color=palettes.MISSING)
    source = ColumnDataSource({"image": [np.ascontiguousarray(shown[::-1])]})
    plot.image("image", 0, 0, count, count, source=source, color_mapper=mapper)
    row, column = np.divmod(np.arange(count * count), count)
    cells = ColumnDataSource(
        {
            "x": column + 0.5,
            "y": count - row - 0.5,
            "of": [names[i] for i in row],
            "as": [names[i] for i in column],
            "images": matrix.ravel(),
        }
    )
    boxes = plot.rect("x", "y", 1, 1, source=cells, fill_alpha=0, line_color=None)
    tips = [("class", "@of"), ("answered", "@as"), ("images", "@images{+0}" if differs else "@images")]
    plot.add_tools(HoverTool(renderers=[boxes], tooltips=tips))
    places = [i + 0.5 for i in range(count)]
    named_rows(plot.xaxis, places, [short(name, 12) for name in names], "10px")
    named_rows(plot.yaxis, [count - p for p in places], [short(name, 12) for name in names], "10px")
    plot.xaxis.major_label_orientation = 0.9
    plot.xaxis.axis_label, plot.yaxis.axis_label = "answer", "class"
    return plot


__all__ = ["confusion", "figures", "passes_at"]
