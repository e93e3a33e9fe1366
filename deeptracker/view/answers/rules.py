"""The left and the right rule over time for several k, and what happened to answers between two passes."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import HoverTool, Legend, LegendItem, Range1d
from numpy.typing import NDArray

from deeptracker.screen import coordinate, opened, read, sizes
from deeptracker.screen.picking import pick
from deeptracker.view import palettes
from deeptracker.view.answers.classes import planned
from deeptracker.view.columns import columns, thinned
from deeptracker.view.scale import Scale
from deeptracker.view.timeline import FONT, Timeline, number_ticks

HEIGHT = 92
PIXELS = 900
LINES = 4
SAID = {
    "left": "L: images that changed after at least k constant passes",
    "right": "R: images that changed and stayed",
}
TINTS = Scale("value", 0.0, 1.0, "k, from small to large")
EVENTS = {
    "y→y": ("stayed right", "#cfe3da"),
    "n→y": ("turned right", palettes.GAIN),
    "y→n": ("turned wrong", palettes.LOST),
    "n→n": ("stayed wrong", "#c9cbe6"),
}


def has_rules(run: Any, view: str) -> bool:
    """Whether the rules were counted."""
    return bool(run.has(f"anomalies/validation/{view}/classes"))


def ks_of(run: Any, view: str, count: int = LINES) -> list[int]:
    """A few k around the planned one, each about twice the one before."""
    ks = np.asarray(coordinate(run, f"anomalies/validation/{view}/classes", "k"))
    middle = planned(sizes(run, f"validation/{view}")["validation"])
    wanted = middle * 2.0 ** (np.arange(count) - (count - 1) // 2)
    return sorted({int(ks[np.abs(ks - k).argmin()]) for k in wanted})


def lines(run: Any, view: str, timeline: Timeline, index: int, ks: list[int] | None = None) -> list[Any]:
    """A figure each for L and R of one class: gains upwards, losses downwards, a line a k."""
    group = f"anomalies/validation/{view}/classes"
    ks = ks or ks_of(run, view)
    dataset = opened(run, group)
    known = list(np.asarray(dataset["k"].values))
    passes = np.asarray(dataset["validation"].values, dtype=np.int64)
    return [
        _lines(timeline, side, passes, {k: _counts(dataset[side].variable, known.index(k), index) for k in ks})
        for side in ("left", "right")
    ]


def _counts(variable: Any, place: int, index: int) -> NDArray[np.int64]:
    """Images (pass, direction) of one class at one k."""
    values = pick(variable, {"k": slice(place, place + 1), "class": slice(index, index + 1)})
    axes = tuple(variable.dims.index(dim) for dim in ("class", "k"))
    return np.asarray(values.sum(axis=axes, dtype=np.int64))


def _lines(timeline: Timeline, side: str, passes: Any, counts: dict[int, NDArray[np.int64]]) -> Any:
    plot = timeline.figure(HEIGHT, axis=side == "right", title=SAID[side])
    plot.title.text_font_size = "11px"
    plot.yaxis.axis_label = "images"
    plot.yaxis.formatter = number_ticks()
    plot.yaxis.ticker.desired_num_ticks = 4
    tints = TINTS.colours_of(np.linspace(0.35, 1.0, len(counts)))
    items = []
    for (k, values), tint in zip(counts.items(), tints, strict=True):
        drawn = []
        for direction, sign in ((0, 1), (1, -1)):
            x, y = thinned(passes, sign * values[:, direction].astype(np.float64), PIXELS)
            drawn.append(plot.line(x, y, line_color=tint, line_width=1.3))
        tips = [("iteration", "@x{0,0}"), (f"images, k = {k}", "@y{0,0}")]
        plot.add_tools(HoverTool(renderers=drawn, tooltips=tips))
        items.append(LegendItem(label=f"k = {k}", renderers=drawn))
    plot.add_layout(_legend(items))
    plot.ray(x=timeline.full[0], y=0, length=0, angle=0, line_color=palettes.FAINT)
    return plot


def _legend(items: list[Any]) -> Legend:
    return Legend(
        items=items, orientation="horizontal", location="top_right", label_text_font_size="10px",
        label_text_font=FONT, border_line_color=None, background_fill_alpha=0.75, padding=2, margin=3, spacing=10,
        glyph_width=14, glyph_height=10, label_height=10,
    )  # fmt: skip


def counted(run: Any, view: str, timeline: Timeline, index: int | None = None) -> Any:
    """A figure of the four things that can happen to an answer between two passes, stacked; None without an index."""
    part = "all" if index is None else "classes"
    group = f"index/validation/{view}/{part}"
    if not run.has(group) or not sizes(run, group)["validation"]:
        return None
    select = {} if index is None else {"class": slice(index, index + 1)}
    data = read(run, group, ["event_counts"], pixels=PIXELS // 4, select=select, reductions=["mean"])
    values = np.asarray(data["event_counts"].values[0], dtype=np.float64)
    values = values.reshape(len(values), -1)  # (pass, event)
    names = list(map(str, coordinate(run, group, "event")))
    at = np.asarray(data["validation"].values)
    if len(at) > PIXELS:  # bins of the index do not count what happened
        grid = columns(at, *timeline.full, PIXELS)
        values = np.asarray(grid.reduce(values, "mean"), dtype=np.float64)
        at = grid.left + grid.width * np.arange(grid.count)
    plot = timeline.figure(HEIGHT, axis=True, title="what happened to the answers since the pass before")
    plot.title.text_font_size = "11px"
    plot.yaxis.axis_label = "images"
    plot.yaxis.formatter = number_ticks()
    plot.yaxis.ticker.desired_num_ticks = 4
    base, items = np.zeros(len(values)), []
    for name, (said, colour) in EVENTS.items():
        if name not in names:
            continue
        top = base + np.nan_to_num(values[:, names.index(name)])
        area = plot.varea(x=at, y1=base, y2=top, fill_color=colour)
        items.append(LegendItem(label=said, renderers=[area]))
        base = top
    plot.y_range = Range1d(0, float(max(base.max(initial=0), 1)))
    plot.add_layout(_legend(items))
    return plot


__all__ = ["counted", "has_rules", "ks_of", "lines"]
