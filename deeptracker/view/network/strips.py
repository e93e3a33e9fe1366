"""All layers over time: one figure a stage, each layer a strip whose rows are its filters."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, LinearColorMapper, Range1d
from numpy.typing import NDArray

from deeptracker.view import palettes, words
from deeptracker.view.columns import Columns
from deeptracker.view.network.layer_values import (
    PIXELS,
    LayerValues,
    by_strength,
    opening,
    read_out,
    squeeze,
    whole,
)
from deeptracker.view.places import Place, layers_of, short, stages_of
from deeptracker.view.scale import Scale
from deeptracker.view.timeline import Timeline, named_rows

GAP = 0.12


class Strips:
    """The stage figures. ``update`` reads another range, statistic or kind into the same figures."""

    def __init__(
        self,
        run: Any,
        timeline: Timeline | None = None,
        *,
        variable: str | None = None,
        show: str | None = None,
        aggregate: str = "max",
        strip: int | None = None,
        pixels: int = PIXELS,
    ) -> None:
        self.run, self.timeline = run, timeline or Timeline(run)
        self.places = layers_of(run)
        self.strip = strip or int(np.clip(330 // max(1, len(self.places)), 11, 24))
        self.mapper = LinearColorMapper(low=1, high=255, low_color=palettes.MISSING, palette=list(palettes.CHANGE))
        self.decode = CustomJSHover()
        self.sources: dict[str, ColumnDataSource] = {}
        self.orders: dict[str, NDArray[np.intp]] = {}
        self.aggregate = aggregate
        self.pixels, self.columns = pixels, 0
        best, usual = opening(run)
        self.values = LayerValues(run, variable or best, show or usual)
        self.stages = stages_of(self.places)
        self.figures = [self._stage(*s, last=i == len(self.stages) - 1) for i, s in enumerate(self.stages)]
        self.update()

    @property
    def scale(self) -> Scale:
        return self.values.scale

    def _stage(self, name: str, members: list[Place], last: bool) -> Any:
        filters = sum(place.count for place in members)
        title = f"{name} · {words.count(len(members), 'layer')}"
        plot = self.timeline.figure(
            self.strip * len(members),
            axis=last,
            title=f"{title} · {words.count(filters, 'filter')}" if filters else title,
            y_range=Range1d(0, len(members)),
        )
        plot.outline_line_color = None
        plot.title.text_font_size, plot.title.text_color = "11px", palettes.MUTED
        size = f"{min(11, self.strip - 1)}px"
        named_rows(
            plot.yaxis, [len(members) - i - 0.5 for i in range(len(members))], [short(p.name) for p in members], size
        )
        source = ColumnDataSource({"image": [], "x": [], "dw": [], "y": [], "dh": [], "layer": [], "filters": []})
        glyph = plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=self.mapper, level="image")
        plot.add_tools(
            HoverTool(
                renderers=[glyph],
                tooltips=[
                    ("layer", "@layer"),
                    ("iteration", "$x{0,0}"),
                    (words.statistic(self.values.variable), "@image{custom}"),
                ],
                formatters={"@image": self.decode},
            )
        )
        self.sources[name] = source
        return plot

    def update(
        self,
        start: float | None = None,
        stop: float | None = None,
        *,
        variable: str | None = None,
        show: str | None = None,
    ) -> None:
        """Read the range (default: the whole run) at the level that the screen needs and redraw."""
        if variable is not None or show is not None:
            self.values = LayerValues(self.run, variable or self.values.variable, show or self.values.show)
            self.orders.clear()
        first, last = whole(self.run, self.values.group)
        start, stop = max(first, start if start is not None else first), min(last, stop if stop is not None else last)
        self.mapper.palette = list(self.scale.colours)
        self.decode.code = f"return {read_out(self.values)}"
        net = self.values.net(start, stop, self.pixels)
        self.columns = min(net.sizes["iteration"], self.pixels)
        for name, members in self.stages:
            images = [self._image(place, start, stop, net) for place in members]
            grid = [self.timeline.full[0] if g.count == 0 else g.left for _, g in images]
            self.sources[name].data = {
                "image": [image for image, _ in images],
                "x": grid,
                "dw": [max(g.width * g.count, 1e-9) for _, g in images],
                "y": [len(members) - i - 1 + GAP / 2 for i in range(len(members))],
                "dh": [1 - GAP] * len(members),
                "layer": [place.name for place in members],
                "filters": [place.count for place in members],
            }

    def _image(self, place: Place, start: float, stop: float, net: Any) -> tuple[NDArray[np.uint8], Columns]:
        cells = self.values.cells(place, start, stop, self.pixels, net=net)
        if place.name not in self.orders:
            self.orders[place.name] = by_strength(cells.values)
        rows = squeeze(cells.values[:, self.orders[place.name]], self.strip, self.aggregate)
        return np.ascontiguousarray(self.scale.encode(rows).T[::-1]), cells.grid
