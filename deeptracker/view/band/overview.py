"""The band on top of every page: the whole training at a glance, with its events as numbered marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.events import SelectionGeometry, Tap
from bokeh.layouts import column
from bokeh.models import (
    BoxAnnotation,
    BoxSelectTool,
    ColumnDataSource,
    CustomJS,
    Range1d,
)

from deeptracker.view import palettes, words
from deeptracker.view.band.curves import curves
from deeptracker.view.band.rates import rates
from deeptracker.view.event.events import anomalies, documents
from deeptracker.view.timeline import SMALL, Timeline

PIXELS = 900
LANE = 30
WIDTH_OF_A_LETTER = 0.0062

_CHOSEN = """
const { x0, x1 } = cb_obj.geometry, [low, high] = range.bounds
const start = Math.max(low, Math.min(x0, x1)), end = Math.min(high, Math.max(x0, x1))
if (cb_obj.final && end - start > 0.002 * (high - low)) range.setv({ start, end })
"""


class Overview:
    """The band's figures: ``lane`` with numbered ``marks`` (``rank`` in the order drawn), ``curves``, ``rates``."""

    def __init__(self, run: Any, timeline: Timeline) -> None:
        self.run, self.timeline = run, timeline
        self._tapped: list[Callable[[Any], None]] = []
        self.whole = Range1d(*timeline.full, bounds=timeline.full)
        self.lane, self.marks = _lane(run, timeline, self.whole)
        self.rates = rates(run, timeline, self.whole)
        self.curves = curves(run, timeline, self.whole)
        for plot in (self.lane, self.curves, self.rates):
            self._brush(plot)
        self.layout = column(self.lane, self.curves, self.rates, sizing_mode="stretch_width", spacing=0)

    def _brush(self, plot: Any) -> None:
        """Dragging in the band chooses the iterations that all other views show, and a box says which these are.

        Not a RangeTool: its box covers the whole run at first, and a drag inside of it tries to move it.
        """
        shown = self.timeline.x_range
        box = BoxAnnotation(
            left=shown.start, right=shown.end, fill_color=palettes.INK, fill_alpha=0.05, line_color=palettes.INK,
            line_alpha=0.5, editable=False, syncable=False,
        )  # fmt: skip
        shown.js_link("start", box, "left")
        shown.js_link("end", box, "right")
        plot.add_layout(box)
        tool = BoxSelectTool(dimensions="width", renderers=[])
        plot.add_tools(tool)
        plot.toolbar.active_drag = tool
        plot.js_on_event(SelectionGeometry, CustomJS(args={"range": shown}, code=_CHOSEN))

    def on_tap(self, tapped: Callable[[Any], None]) -> None:
        """Call a function when somebody clicks on the marks or the curves, also on those that are drawn anew."""
        self._tapped.append(tapped)
        for plot in (self.lane, self.curves):
            plot.on_event(Tap, tapped)

    def grow(self, run: Any) -> None:
        """Take in what was recorded since; the timeline has grown already."""
        self.run = run
        self.whole.update(bounds=self.timeline.full, start=self.timeline.full[0], end=self.timeline.full[1])
        if (said := self.lane.select_one({"name": "not analysed"})) is not None:
            said.visible = documents(run) is None
        self.marks.data = _marks(anomalies(run), self.timeline.full)
        self.rates = rates(run, self.timeline, self.whole)
        self._brush(self.rates)
        self.redraw()

    def redraw(self, *, scale: str = "log", smooth: float = 0.0) -> None:
        """The curves with another axis of the loss, or smoothed."""
        self.curves = curves(self.run, self.timeline, self.whole, scale=scale, smooth=smooth)
        self._brush(self.curves)
        for tapped in self._tapped:  # a page hears of a figure only what it was told before it is put there
            self.curves.on_event(Tap, tapped)
        self.layout.children = [self.lane, self.curves, self.rates]


def overview(run: Any, timeline: Timeline | None = None) -> Overview:
    """Loss, validation error, learning rate and the ranked events over the whole run."""
    return Overview(run, timeline or Timeline(run))


def _lane(run: Any, timeline: Timeline, whole: Range1d) -> tuple[Any, ColumnDataSource]:
    """Numbered marks, the strongest with its cause in words where there is room."""
    plot = timeline.figure(LANE, zoom=False, marks=False, x_range=whole, y_range=Range1d(0, 1))
    plot.yaxis.visible, plot.outline_line_color = False, None
    found = anomalies(run)
    source = ColumnDataSource(_marks(found, timeline.full), name="events")
    order = {"x": "x", "y": "y", "source": source}
    plot.scatter(**order, size=19, fill_color="fill", line_color=palettes.PAPER, line_width=1.5)
    plot.text(
        **order,
        text="rank",
        text_color=palettes.PAPER,
        text_align="center",
        text_baseline="middle",
        text_font_size=SMALL,
        text_font_style="bold",
    )
    plot.text(
        **order,
        text="text",
        x_offset=14,
        text_baseline="middle",
        text_font_size="12px",
        text_color=palettes.INK,
    )
    if documents(run) is None:
        plot.text(
            name="not analysed",
            x=[timeline.full[0]],
            y=[0.5],
            text=["not analysed yet: no events"],
            text_color=palettes.MUTED,
            text_font_size="12px",
            text_baseline="middle",
        )
    return plot, source


def _marks(found: list[dict[str, Any]], full: tuple[float, float]) -> dict[str, list[Any]]:
    """Where and how each event is marked."""
    return {
        "x": [float(e["iteration"]) for e in found],
        "y": [0.5] * len(found),
        "rank": [str(e["rank"]) for e in found],
        "text": _captions(found, full),
        "fill": [palettes.INK] * len(found),
        "cause": [words.cause(e["cause"]) for e in found],
        "where": [words.where(e) for e in found],
    }


def _captions(found: list[dict[str, Any]], full: tuple[float, float]) -> list[str]:
    """Causes beside the marks, given by rank as long as they touch no other mark or caption."""
    span = full[1] - full[0]
    places = [(float(e["iteration"]) - full[0]) / span for e in found]
    taken = [(p - 0.01, p + 0.01) for p in places]
    captions = []
    for i, event in enumerate(found):
        text = words.cause(event["cause"])
        left, right = places[i] + 0.011, places[i] + 0.016 + len(text) * WIDTH_OF_A_LETTER
        free = right <= 1 and all(right < a or left > b for j, (a, b) in enumerate(taken) if j != i)
        captions.append(text if free else "")
        if free:
            taken[i] = (taken[i][0], right)
    return captions
