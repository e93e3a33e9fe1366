"""One layer in full: every filter over time as a heat map, and the picked filter's own series."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    HoverTool,
    LinearColorMapper,
    NoOverlap,
    Range1d,
)
from numpy.typing import NDArray

from deeptracker.errors import InputError
from deeptracker.view import palettes, words
from deeptracker.view.network.layer_values import PIXELS, LayerValues, by_strength, opening, read_out
from deeptracker.view.places import Place, layers_of
from deeptracker.view.timeline import Timeline, named_rows, number_ticks

MOST_ROWS = 512
MOST_SERIES = 64
LINES = 110
SORTS = {
    "strength": "strongest change on top",
    "channel": "by channel",
    "mean": "largest on average on top",
    "last": "largest at the end on top",
}


class LayerFilters:
    """The drill-down of a layer. ``show`` puts another layer into the same figures; a tap picks a filter.

    The series of all filters travel with the page, so that the pick also works in a saved report.
    """

    def __init__(
        self,
        run: Any,
        timeline: Timeline | None = None,
        *,
        layer: str | None = None,
        variable: str | None = None,
        shown: str | None = None,
        height: int = 200,
        sort: str = "strength",
    ) -> None:
        self.run, self.timeline = run, timeline or Timeline(run)
        best, usual = opening(run)
        self.values = LayerValues(run, variable or best, shown or usual)
        self.series = LayerValues(run, variable or best, "value")
        self.places = {place.name: place for place in layers_of(run)}
        self.image = ColumnDataSource({"image": [], "x": [], "dw": [], "dh": []})
        self.lines = ColumnDataSource({"x": [], "filter": [], "median": []})
        self.table = ColumnDataSource({"channel": [], "y": []})
        self.picked = ColumnDataSource({"y": [], "h": []})
        self.heat = self._heat(height)
        self.plot = self._plot()
        self.channels: NDArray[np.intp] = np.zeros(0, np.intp)
        self._rows: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self.layout = column(self.heat, self.plot, sizing_mode="stretch_width", spacing=0)
        self.layer, self.channel, self.sort = "", 0, sort
        if self.places:
            self.show(layer or next(iter(self.places)))

    def use(self, variable: str, shown: str) -> None:
        """Show another statistic of the same layer and filter."""
        channel = self.channel
        self.values = LayerValues(self.run, variable, shown)
        self.series = LayerValues(self.run, variable, "value")
        self.mapper.palette = list(self.values.scale.colours)
        self._read.code = f"return {read_out(self.values)}"
        if self.series.scale.logarithmic != self._logarithmic:  # a figure cannot change the kind of its axis
            self.plot = self._plot()
            self.layout.children = [self.heat, self.plot]
        self.plot.yaxis.axis_label = self.series.label
        self.show(self.layer, channel)

    def _heat(self, height: int) -> Any:
        plot = self.timeline.figure(height, y_range=Range1d(0, 1))
        self.mapper = LinearColorMapper(
            low=1, high=255, low_color=palettes.MISSING, palette=list(self.values.scale.colours)
        )
        glyph = plot.image("image", "x", 0, "dw", "dh", source=self.image, color_mapper=self.mapper, level="image")
        self._channel = CustomJSHover(args={"table": self.table}, code=_CHANNEL)
        self._read = CustomJSHover(code=f"return {read_out(self.values)}")
        plot.add_tools(
            HoverTool(
                renderers=[glyph],
                tooltips=[
                    ("filter", "$y{custom}"),
                    ("iteration", "$x{0,0}"),
                    (words.statistic(self.values.variable), "@image{custom}"),
                ],
                formatters={"$y": self._channel, "@image": self._read},
            )
        )
        plot.rect(
            x=float(np.mean(self.timeline.full)),
            y="y",
            width=2 * (self.timeline.full[1] - self.timeline.full[0]),
            height="h",
            source=self.picked,
            fill_color=None,
            line_color=palettes.SELECTED,
            line_width=1.5,
        )
        plot.yaxis.axis_label = "filter"
        return plot

    def _plot(self) -> Any:
        self._logarithmic = self.series.scale.logarithmic
        kind = "log" if self._logarithmic else "linear"
        plot = self.timeline.figure(LINES, axis=True, y_axis_type=kind)
        plot.yaxis.axis_label = self.series.label
        plot.yaxis.formatter = number_ticks()
        plot.yaxis.ticker.desired_num_ticks = 4
        plot.yaxis.major_label_policy = NoOverlap(min_distance=2)  # of a logarithmic axis shorter than a decade
        plot.line("x", "median", source=self.lines, line_color=palettes.LABEL, line_width=1, line_dash=[4, 3])
        plot.line("x", "filter", source=self.lines, line_color=palettes.SELECTED, line_width=1.2)
        plot.title.text_font_size = "11px"
        return plot

    def show(self, layer: str, channel: int | None = None) -> None:
        """Open a layer; ``channel`` (default: the strongest) is drawn as a line. InputError for an unknown name."""
        if layer not in self.places:
            raise InputError(f"no layer {layer!r}; the run has {words.some(list(self.places), 6)}")
        place = self.places[layer]
        self.layer = layer
        cells = self.values.cells(place, *self.timeline.full, PIXELS)
        order = sorted_by(self.sort, cells.values)[:MOST_ROWS]
        self.channels = order
        count = len(order)
        encoded = self.values.scale.encode(cells.values[:, order])
        height = float(max(count, 1))
        self.heat.y_range.update(start=0.0, end=height)
        self.table.data = {"channel": order[::-1].tolist(), "y": (np.arange(count) + 0.5).tolist()}
        self.image.data = {
            "image": [np.ascontiguousarray(encoded.T[::-1])],
            "x": [cells.grid.left],
            "dw": [max(cells.grid.width * cells.grid.count, 1e-9)],
            "dh": [height],
        }
        series = self.series.cells(place, *self.timeline.full, PIXELS)
        self._rows, self._x = series.values, series.grid.left + series.grid.width * np.arange(series.grid.count)
        self._names(place, count)
        self.pick(channel if channel is not None else int(order[0]))

    def _names(self, place: Place, count: int) -> None:
        step = max(1, -(-count // 10))
        rows = np.arange(0, count, step)
        names = [str(int(self.channels[row])) for row in rows]
        named_rows(self.heat.yaxis, [count - float(row) - 0.5 for row in rows], names)
        left_out = "" if count == place.count else f" (the first {count} of {place.count:,})"
        self.heat.title.text = f"{place.name} · {words.count(place.count, 'filter')}{left_out}, {SORTS[self.sort]}"

    def pick(self, channel: int) -> None:
        """Draw one filter's series, and its layer's median beside it."""
        if not 0 <= channel < self._rows.shape[1]:
            raise InputError(f"layer {self.layer} has channels 0 … {self._rows.shape[1] - 1}, not {channel}")
        self.channel = channel
        values = self._rows
        ordered = np.sort(values, axis=1)  # NaN go last; a whole row of them stays NaN
        known = np.maximum((~np.isnan(values)).sum(axis=1) - 1, 0)
        median = ordered[np.arange(len(ordered)), known // 2]
        self.lines.data = {"x": self._x, "filter": values[:, channel], "median": median}
        seat = np.flatnonzero(self.channels == channel)
        self.picked.data = {"y": [len(self.channels) - float(s) - 0.5 for s in seat], "h": [1.0] * len(seat)}
        self.plot.title.text = f"filter {channel} of {self.layer}; dashed: median of the layer's filters"

    def channel_at(self, y: float) -> int | None:
        """The channel whose row lies at a height of the heat map."""
        row = len(self.channels) - 1 - int(np.floor(y))
        return int(self.channels[row]) if 0 <= row < len(self.channels) else None

    def pick_in_browser(self) -> None:
        """Let a tap pick one of the strongest filters without a server, for pages that are saved."""
        series = ColumnDataSource({"y": [self._rows[:, channel] for channel in self.channels[:MOST_SERIES]]})
        self.heat.js_on_event(
            "tap",
            CustomJS(
                args={
                    "table": self.table,
                    "series": series,
                    "lines": self.lines,
                    "picked": self.picked,
                    "title": self.plot.title,
                    "layer": self.layer,
                },
                code=_PICK,
            ),
        )


def sorted_by(sort: str, values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Filters of (columns, filters) in the order of ``SORTS``; those without a number come last."""
    if sort == "strength":
        return by_strength(values)
    if sort == "channel":
        return np.arange(values.shape[1])
    known = np.isfinite(values)
    if sort == "mean":
        key = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    else:
        last = len(values) - 1 - known[::-1].argmax(axis=0)
        key = values[last, np.arange(values.shape[1])]
    return np.argsort(-np.where(known.any(axis=0), key, -np.inf), kind="stable")


_CHANNEL = "const c = table.data.channel[Math.floor(special_vars.y)]; return c === undefined ? '' : String(c)"
_PICK = """
const row = Math.floor(cb_obj.y), channel = table.data.channel[row]
const place = table.data.channel.length - 1 - row
if (channel === undefined || place >= series.data.y.length) return
lines.data = {...lines.data, filter: series.data.y[place]}
picked.data = {y: [row + 0.5], h: [1]}
title.text = `filter ${channel} of ${layer}; dashed: median of the layer's filters`
"""
