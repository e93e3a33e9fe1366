"""All layers over time: one figure a stage, each layer a row; what a row shows is a ``look``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, LinearColorMapper, Range1d

from deeptracker.screen import expression_for
from deeptracker.screen.kept import Kept, state_of
from deeptracker.view import palettes, words
from deeptracker.view.network.layer_values import PIXELS, LayerValues, opening, read_out, whole
from deeptracker.view.network.looks import Drawn, look
from deeptracker.view.places import Place, matching, places_at, short, stages_of
from deeptracker.view.scale import Scale
from deeptracker.view.timeline import Timeline, named_rows

GAP = 0.12
BYTES = 64 << 20
"""Rows that the process keeps, over all sessions and runs."""

Rows = tuple[tuple[float, float], list[list[Drawn]]]
"""A range of iterations, and the rows of each stage."""
_drawn: Kept[Drawn] = Kept(BYTES)


class Strips:
    """The figures. ``update`` reads another range, statistic or kind into the same figures.

    Parameters
    ----------
    variable, show : statistic, as ``change`` against its usual level or as ``value``; default: see ``opening``.
    aggregate : what a row keeps of the filters it joins: ``max`` (the farthest from usual) or ``mean``.
    shape : what a row shows, one of ``looks.LOOKS``.
    level, opened : layers, blocks or stages, see ``places.places_at``.
    pattern : a regular expression that the names of shown rows match.
    normal : of values, see ``looks.NORMALS``.
    strip : pixels of a row; pixels : columns at most.
    """

    def __init__(
        self,
        run: Any,
        timeline: Timeline | None = None,
        *,
        variable: str | None = None,
        show: str | None = None,
        aggregate: str = "max",
        shape: str = "strips",
        level: str = "layer",
        opened: Sequence[str] = (),
        pattern: str = "",
        normal: str = "shared",
        strip: int | None = None,
        pixels: int = PIXELS,
    ) -> None:
        self.run, self.timeline = run, timeline or Timeline(run)
        every = places_at(run, level, opened)
        self.places = matching(every, pattern) if pattern else every
        best, usual = opening(run)
        self._look = {"normal": normal, "aggregate": aggregate}
        self.shape, self.pixels, self.columns = shape, pixels, 0
        self.look = look(shape, run, variable or best, show or usual, **self._look)
        low, high = self.look.high
        self.strip = strip or int(np.clip(330 // max(1, len(self.places)), low, high))
        self.mapper = LinearColorMapper(low=1, high=255, low_color=palettes.MISSING, palette=list(palettes.CHANGE))
        self.decode = CustomJSHover()
        self.sources: dict[str, ColumnDataSource] = {}
        self.names: list[str] = []
        self._range = (0.0, 0.0)
        self.stages = stages_of(self.places) if level == "layer" else [(level, self.places)]
        self.figures = [self._stage(*s, last=i == len(self.stages) - 1) for i, s in enumerate(self.stages)]
        self.update()

    @property
    def scale(self) -> Scale:
        scale: Scale = self.look.scale
        return scale

    @property
    def values(self) -> LayerValues:
        """What is read for strips, horizons and bands; distributions have no statistic of their own."""
        values: LayerValues = self.look.values
        return values

    def _stage(self, name: str, members: list[Place], last: bool) -> Any:
        filters = sum(place.count for place in members)
        level = members[0].level if len({place.level for place in members}) == 1 else "row"
        counted = words.count(len(members), level)
        title = counted if name in ("block", "stage") else f"{name} · {counted}"
        plot = self.timeline.figure(
            self.strip * len(members),
            axis=last,
            title=f"{title} · {words.count(filters, 'filter')}" if filters else title,
            y_range=Range1d(0, len(members)),
        )
        plot.outline_line_color = None
        plot.title.text_font_size, plot.title.text_color = "11px", palettes.MUTED
        plot.title.standoff = 2
        size = f"{min(11, self.strip - 1)}px"
        named_rows(
            plot.yaxis, [len(members) - i - 0.5 for i in range(len(members))], [short(p.name) for p in members], size
        )
        columns = ("image", "x", "dw", "y", "dh", "layer", "filters", "numbers")
        source = ColumnDataSource({column: [] for column in columns})
        glyph = plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=self.mapper, level="image")
        plot.add_tools(
            HoverTool(
                renderers=[glyph],
                tooltips=[("layer", "@layer"), ("iteration", "$x{0,0}"), (self._told(), "@image{custom}")],
                formatters={"@image": self.decode},
            )
        )
        self.sources[name] = source
        return plot

    def _told(self) -> str:
        return words.statistic(self.values.variable) if hasattr(self.look, "values") else "numbers"

    def update(
        self,
        start: float | None = None,
        stop: float | None = None,
        *,
        variable: str | None = None,
        show: str | None = None,
    ) -> None:
        """Read the range (default: the whole run) at the level that the screen needs and redraw."""
        if (variable is not None or show is not None) and hasattr(self.look, "values"):
            values = self.values
            self.look = look(self.shape, self.run, variable or values.variable, show or values.show, **self._look)
        self.put(self.rows(start, stop))

    def rows(self, start: float | None = None, stop: float | None = None) -> Rows:
        """What ``update`` draws: the range, and the rows of each stage. Nothing on the page changes: for threads."""
        first, last = whole(self.run, self.group)
        start, stop = max(first, start if start is not None else first), min(last, stop if stop is not None else last)
        nets: list[Any] = []

        def net() -> Any:
            if not nets:
                nets.append(self.look.net(start, stop, self.pixels))
            return nets[0]

        return (start, stop), [
            [self._row(place, start, stop, net) for place in members] for _, members in self.stages
        ]

    def put(self, made: Rows) -> None:
        """Draw rows that were made."""
        self.mapper.palette = list(self.scale.colours)
        self._range, stages = made
        columns = 0
        for (name, members), rows in zip(self.stages, stages, strict=True):
            columns = max([columns, *(len(row.grid.last) and int(row.grid.last.max()) for row in rows)])
            self._put(name, members, rows)
        self.columns = min(columns, self.pixels)
        self.decode.code = self._reading()

    def _row(self, place: Place, start: float, stop: float, net: Callable[[], Any]) -> Drawn:
        """One row, as it was drawn a moment ago for this or another session, or anew."""
        state, look = state_of(self.run), self.look

        def draw() -> Drawn:
            drawn: Drawn = look.draw(place, start, stop, self.pixels, net(), self.strip)
            return drawn

        if state is None:
            return draw()
        shown = (self.values.variable, self.values.show) if hasattr(look, "values") else ()
        key = (state, self.shape, shown, *self._look.values(), place.level, place.name)
        found = _drawn.get((*key, start, stop, self.pixels, self.strip), draw, lambda row: row.nbytes)
        if found.order is not None:
            look.orders.setdefault(place.name, found.order)
        return found

    @property
    def group(self) -> str:
        """The recorded group that the rows are read from."""
        return self.values.group if hasattr(self.look, "values") else "layers/full"

    def grow(self, run: Any) -> None:
        """Take in what was recorded since."""
        self.run = run
        shown = {"variable": self.values.variable, "show": self.values.show} if hasattr(self.look, "values") else {}
        self.update(self.timeline.x_range.start, self.timeline.x_range.end, **shown)

    def expression(self) -> str:
        """The xarray expression over ``run`` that gives the numbers of the rows as they are drawn."""
        if self.shape != "horizon":
            name = self.values.variable if hasattr(self.look, "values") else self.look.variable
            return expression_for(self.run, self.group, name, *self._range, self.pixels)
        level = self.places[0].level
        group = {"layer": self.values.group, "block": "index/blocks", "stage": "index/stages"}[level]
        return f'run.dataset("{group}")["{self.values.variable}"]'

    def _put(self, name: str, members: list[Place], rows: list[Drawn]) -> None:
        self.names = list(rows[0].numbers)
        self.sources[name].data = {
            "image": [row.cells for row in rows],
            "x": [self.timeline.full[0] if row.grid.count == 0 else row.grid.left for row in rows],
            "dw": [max(row.grid.width * row.grid.count, 1e-9) for row in rows],
            "y": [len(members) - i - 1 + GAP / 2 for i in range(len(members))],
            "dh": [1 - GAP] * len(members),
            "layer": [place.name for place in members],
            "filters": [place.count for place in members],
            "numbers": [_table(row) for row in rows],
        }

    def _reading(self) -> str:
        """JavaScript that says what is under the pointer: the number behind a byte, or those of the column."""
        if self.shape == "strips" and self.look.normal == "shared":
            return f"return {read_out(self.values)}"
        if not self.names:
            return f"return value == 0 ? 'none' : (100*{self.scale.javascript()}).toFixed(0) + '% of the range'"
        return f"const names = {self.names!r}\n{_NUMBERS}"


def _table(row: Drawn) -> Any:
    """Numbers (kind, column) of a row, to be told on hover."""
    return np.stack(list(row.numbers.values())).astype(np.float32) if row.numbers else np.zeros((0, 0), np.float32)


_NUMBERS = """
const source = special_vars.glyph_view ? special_vars.glyph_view.parent.model.data_source : null
const row = special_vars.image_index ? special_vars.image_index.index : 0
if (!source || value == 0) return 'none'
const data = source.data, table = data.numbers[row]
const [kinds, columns] = table.shape ?? [names.length, table.length / names.length]
const column = Math.min(columns - 1, Math.max(0, Math.floor((special_vars.x - data.x[row]) / data.dw[row] * columns)))
return names.map((name, i) => `${name} ${Number(table[i * columns + column]).toPrecision(3)}`).join(', ')
"""

__all__ = ["GAP", "Strips"]
