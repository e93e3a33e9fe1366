"""One time axis for everything: figures that share their range of iterations, their cursor, marks and selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.events import DoubleTap
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CrosshairTool,
    CustomJS,
    CustomJSTickFormatter,
    FixedTicker,
    PanTool,
    Range1d,
    ResetTool,
    Span,
    VSpan,
    VStrip,
)
from bokeh.plotting import figure

from deeptracker.screen import coordinate
from deeptracker.screen.answers import class_names, first_set
from deeptracker.view import palettes, words
from deeptracker.view.clock import Clock
from deeptracker.view.event.events import anomalies, labels, reach
from deeptracker.view.places import layers_of, short

RIGHT = 64
LETTER = 5.6
"""Pixels of a letter in the margin, on average."""
FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
SMALL = "11px"
Line = tuple[int, str, float, float, str]
"""Iteration, colour, width, opacity and dash of a line in every figure."""


class Timeline:
    """What all figures of one page have in common.

    Attributes
    ----------
    x_range : the visible iterations; setting it moves every view.
    full : (start, stop) of the run, the bounds of the range.
    selection : one row ``x0, x1``: iterations of the selected event (empty: none).
    pins : iterations that are held. clock : what the axis counts. passes : iterations between two validation passes.
    """

    def __init__(self, run: Any) -> None:
        start, stop = reach(run)
        pad = (stop - start) * 0.004
        self.full = (start - pad, stop + pad)
        self.x_range = Range1d(bounds=self.full, name="iterations")
        self.x_range.update(start=self.full[0], end=self.full[1], reset_start=self.full[0], reset_end=self.full[1])
        self.cursor = Span(dimension="height", line_color=palettes.INK, line_alpha=0.45, line_width=1)
        self.cursor.syncable = False  # it moves with the mouse: nothing that a server has to hear of
        self.selection = ColumnDataSource({"x0": [], "x1": []}, name="selection")
        self.lines = ColumnDataSource({key: [] for key in ("x", "colour", "width", "alpha", "dash")}, name="lines")
        self.pins: tuple[int, ...] = ()
        self._known: list[Line] = []
        self._marks(run)
        self.clock = Clock(run, *self.full)
        self.passes = interval(run)
        self.left = margin(run)
        self._reset = CustomJS(
            args={"range": self.x_range, "start": self.full[0], "end": self.full[1]}, code="range.setv({start, end})"
        )

    def grow(self, run: Any) -> None:
        """Take in what was recorded since: the range reaches to the new end, unless somebody zoomed in."""
        whole = (self.x_range.start, self.x_range.end) == self.full
        start, stop = reach(run)
        pad = (stop - start) * 0.004
        self.full = (start - pad, stop + pad)
        self.x_range.update(bounds=self.full, reset_start=self.full[0], reset_end=self.full[1])
        if whole:
            self.x_range.update(start=self.full[0], end=self.full[1])
        self._marks(run)
        self._reset.args = {"range": self.x_range, "start": self.full[0], "end": self.full[1]}
        self.clock.grow(run, *self.full)

    def pin(self, iterations: Sequence[int]) -> None:
        """Hold these iterations: a line in every figure."""
        self.pins = tuple(iterations)
        self._draw_lines()

    def _marks(self, run: Any) -> None:
        self._known = [(int(e["iteration"]), palettes.LABEL, 1.0, 1.0, "dashed") for e in labels(run)]
        self._known += [(int(e["iteration"]), palettes.INK, 1.0, 0.3, "solid") for e in anomalies(run)]
        self._draw_lines()

    def _draw_lines(self) -> None:
        """Labels, onsets and pins as one glyph: each glyph more is painted in every figure."""
        rows = [*self._known, *((pin, palettes.PIN, 1.5, 1.0, "solid") for pin in self.pins)]
        names = ("x", "colour", "width", "alpha", "dash")
        self.lines.data = {name: [row[i] for row in rows] for i, name in enumerate(names)}

    def select(self, start: float, stop: float) -> None:
        """Mark the iterations of an event in every figure."""
        self.selection.data = {"x0": [start], "x1": [stop]}

    def show(self, start: float, stop: float) -> None:
        """Move every view to these iterations, kept within the run."""
        self.x_range.update(start=max(self.full[0], start), end=min(self.full[1], stop))

    def figure(
        self,
        height: int,
        *,
        zoom: bool = True,
        axis: bool = False,
        label: bool = True,
        marks: bool = True,
        **options: Any,
    ) -> Any:
        """An empty figure on the shared axis; left and right borders are fixed, so that all figures align.

        ``axis``: with ticks, and the name of what they count unless ``label`` is False.
        """
        options.setdefault("x_range", self.x_range)
        options.setdefault("min_border_left", self.left)
        options.setdefault("min_border_right", RIGHT)
        options.setdefault("min_border_top", 0)
        plot = figure(
            frame_height=height,
            sizing_mode="stretch_width",
            toolbar_location=None,
            tools="",
            lod_timeout=60,
            min_border_bottom=0,
            outline_line_color=palettes.FAINT,
            background_fill_color=palettes.PAPER,
            border_fill_color=palettes.PAPER,
            **options,
        )
        plain(plot)
        plot.xaxis.visible = axis
        for x in plot.xaxis:
            self.clock.put_on(x, label=axis and label)
        if axis and label:
            plot.xaxis.axis_label_standoff = 0
        if zoom:
            box, reset = BoxZoomTool(dimensions="width"), ResetTool()
            plot.add_tools(box, reset, PanTool(dimensions="width"))
            plot.toolbar.active_drag = box
            plot.js_on_event(DoubleTap, self._reset)
        plot.add_tools(CrosshairTool(overlay=self.cursor, dimensions="height"))
        if marks:
            self.mark(plot)
        return plot

    def mark(self, plot: Any, tint: float = 0.0) -> None:
        """Selected iterations, learning-rate labels and onsets of events, over whatever else is drawn.

        Only edges by default: a tint over an image would change what its colours say.
        """
        plot.add_glyph(
            self.selection,
            VStrip(x0="x0", x1="x1", fill_color=palettes.SELECTED, fill_alpha=tint, line_color=palettes.SELECTED),
            level="overlay",
        )
        lines = VSpan(x="x", line_color="colour", line_width="width", line_alpha="alpha", line_dash="dash")
        plot.add_glyph(self.lines, lines, level="overlay")


def interval(run: Any) -> int:
    """Iterations from one validation pass to the next, as a rule; 1 where there are not two."""
    view = first_set(run)
    at = coordinate(run, f"validation/{view}", "validation") if view is not None else ()
    return int(np.median(np.diff(at))) if len(at) > 1 else 1


def margin(run: Any) -> int:
    """Pixels at the left of every figure: room for the longest name of a layer or class."""
    names = [short(place.name) for place in layers_of(run)] if run.has("architecture") else []
    view = first_set(run)
    if view is not None:
        names += [short(words.class_name(name)) for name in class_names(run, view, 0)]
    return round(min(170, max(84, 16 + LETTER * max((len(name) for name in names), default=0))))


def plain(plot: Any) -> Any:
    """Quiet axes: small sans-serif text, no grid, no minor ticks, no logo."""
    plot.toolbar.logo = None
    plot.grid.grid_line_color = None
    for axis in plot.axis:
        axis.axis_line_color = palettes.FAINT
        axis.major_tick_line_color = palettes.FAINT
        axis.minor_tick_line_color = None
        axis.major_label_text_color = palettes.INK
        axis.major_label_text_font_size = SMALL
        axis.major_label_text_font = FONT
        axis.axis_label_text_color = palettes.MUTED
        axis.axis_label_text_font = FONT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = SMALL
        axis.major_tick_in = 0
        axis.major_tick_out = 4
    plot.title.text_font = FONT
    plot.title.text_font_size = "12px"
    plot.title.text_color = palettes.INK
    return plot


def number_ticks() -> CustomJSTickFormatter:
    """Ticks as people write them: 0.003, 20, and 1e-5 where there would be many zeros; with the digits that tell one
    from the next.
    """
    return CustomJSTickFormatter(
        code="""
const steps = ticks.slice(1).map((one, i) => Math.abs(one - ticks[i])).filter(step => step > 0)
const most = Math.max(...ticks.map(Math.abs)), size = Math.abs(tick)
const digits = steps.length ? Math.max(1, Math.min(15, 1 + Math.ceil(Math.log10(most / Math.min(...steps))))) : 3
const round = Number(tick.toPrecision(Math.max(3, digits)))
return tick == 0 || (size >= 1e-3 && size < 1e5) ? round : round.toExponential()
"""
    )


def named_rows(axis: Any, places: list[float], names: list[str], size: str = SMALL) -> None:
    """Write names at places of an axis instead of numbers; others than before, where it has names."""
    if isinstance(axis.ticker, FixedTicker):
        axis.ticker.ticks = places  # a ticker of its own would make the server look through the whole page
        axis.major_label_overrides = dict(zip(places, names, strict=True))
        return
    axis.ticker = FixedTicker(ticks=places)
    axis.major_label_overrides = dict(zip(places, names, strict=True))
    axis.major_tick_line_color = None
    axis.axis_line_color = None
    axis.major_label_text_font_size = size
    axis.major_label_standoff = 6
