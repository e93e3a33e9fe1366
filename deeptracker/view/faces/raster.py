"""Cells of a face as an image at the screen's resolution: painting a million takes no longer than painting ten."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, CustomJSHover, HoverTool, LinearColorMapper
from numpy.typing import NDArray

from deeptracker.view import palettes
from deeptracker.view.columns import Columns
from deeptracker.view.scale import Scale

PIXELS = 640
"""Columns over time, where nobody says how wide the face is: those of a page of 1600 pixels. More than the screen has
would hide cells.
"""
COLOURS = 127
FADED = 0.1
"""Opacity of cells outside a cut."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cells:
    """What is drawn on a face, every array along the cell.

    Parameters
    ----------
    at : position in the table that the face shows. band : row of the face. place : position along its columns.
    size : what the colour tells.
    rank : of several cells in a pixel the one with the largest is seen.
    told : name → numbers for the hover. names : name → the words that its numbers count off.
    """

    at: tuple[NDArray[np.intp], NDArray[np.intp]]
    band: NDArray[np.intp]
    place: NDArray[np.intp]
    size: NDArray[Any]
    rank: NDArray[Any]
    told: dict[str, NDArray[Any]]
    names: dict[str, list[str]] = field(default_factory=dict)


class Raster:
    """An image on a face. ``draw`` and ``cut`` send a byte and the number of a cell for each pixel, no more.

    Parameters
    ----------
    edges : between the bands of the face, ascending.
    pixels : height of the face; bands of different heights are drawn by pixels.
    tooltips : (what, text), in which ``@cell{name}`` is a number or word of ``told``, ``@cell{name:2}`` with two
        decimals.

    Attributes
    ----------
    shown : (band, column) the cell that is seen, 0 where there is none, else its number + 1.
    """

    def __init__(
        self,
        plot: Any,
        cells: Cells,
        scale: Scale,
        edges: NDArray[np.float64],
        pixels: int,
        tooltips: list[tuple[str, str]],
    ) -> None:
        self.cells, self.edges = cells, edges
        even = np.allclose(np.diff(edges), edges[1] - edges[0])
        middles = np.linspace(edges[0], edges[-1], 2 * pixels + 1)[1::2]
        self._rows = np.arange(len(edges) - 1) if even else np.searchsorted(edges, middles, side="right") - 1
        self.inside: Mask = np.ones(len(cells.band), bool)
        self.grid, self.start = Columns(0.0, 1.0, np.zeros(0, np.intp), np.zeros(0, np.intp)), 0
        self.shown = np.zeros((len(edges) - 1, 0), np.int64)
        self._bytes = 1 + (scale.encode(cells.size).astype(np.int64) - 1).clip(0) * (COLOURS - 1) // 254
        self.source = ColumnDataSource({name: [] for name in ("image", "cell", "x", "dw", "y", "dh")})
        colours = [scale.colours[i * 254 // (COLOURS - 1)] for i in range(COLOURS)]
        pale = [f"{colour}{round(255 * FADED):02x}" for colour in colours]
        mapper = LinearColorMapper(low=1, high=2 * COLOURS, low_color="#00000000", palette=colours + pale)
        self.glyph = plot.image("image", "x", "y", "dw", "dh", source=self.source, color_mapper=mapper, level="image")
        numbers = ColumnDataSource({name: np.asarray(values) for name, values in cells.told.items()})
        told = CustomJSHover(args={"numbers": numbers, "names": cells.names}, code=_TOLD)
        plot.add_tools(
            HoverTool(
                renderers=[self.glyph],
                tooltips=tooltips,
                formatters={"@cell": told},
                filters={"@cell": CustomJS(code=_SOMETHING)},
            )
        )

    def draw(self, grid: Columns, start: int = 0) -> None:
        """Draw the cells on other columns, whose rows are counted from position ``start`` on."""
        self.grid, self.start = grid, start
        self._put()

    def cut(self, inside: Mask) -> None:
        """Leave the cells that lie in a cut as they are, and fade the others."""
        if not np.array_equal(inside, self.inside):
            self.inside = inside
            self._put()

    def cell_at(self, x: float, y: float) -> int | None:
        """Number of the cell that is seen at a place of the face."""
        band = int(np.searchsorted(self.edges, y, side="right")) - 1
        column = int(np.ceil((x - self.grid.left) / self.grid.width)) - 1  # a pass counts up to itself
        if not (0 <= band < len(self.shown) and 0 <= column < self.grid.count) or not self.shown[band, column]:
            return None
        return int(self.shown[band, column]) - 1

    def _put(self) -> None:
        if not self.grid.count:
            return
        self.shown = self._seen()
        byte = np.concatenate([[0], self._bytes + np.where(self.inside, 0, COLOURS)]).astype(np.uint8)
        number = np.uint16 if len(self.cells.band) < np.iinfo(np.uint16).max else np.uint32
        self.source.data = {
            "image": [byte[self.shown][self._rows]],
            "cell": [self.shown.astype(number)[self._rows]],
            "x": [self.grid.left],
            "dw": [self.grid.width * self.grid.count],
            "y": [float(self.edges[0])],
            "dh": [float(self.edges[-1] - self.edges[0])],
        }

    def _seen(self) -> NDArray[np.int64]:
        """Which cell is seen where: those in the cut before the others, then by rank."""
        first = np.searchsorted(self.grid.last, self.cells.place - self.start, side="right")
        stop = np.searchsorted(self.grid.first, self.cells.place - self.start, side="right")
        order = np.lexsort((self.cells.rank, self.inside))
        wide = np.maximum(stop - first, 0)[order]
        cell = np.repeat(order, wide)
        column = np.arange(len(cell)) - np.repeat(np.cumsum(wide) - wide - first[order], wide)
        seen = np.zeros((len(self.edges) - 1, self.grid.count), np.int64)
        seen[self.cells.band[cell], column] = cell + 1  # of equal places the last one stays
        return seen


def gaps(plot: Any, rows: int, left: float, right: float) -> None:
    """Thin lines of paper between rows of one unit."""
    y = list(range(1, rows))
    plot.segment(x0=left, x1=right, y0=y, y1=y, line_color=palettes.PAPER, line_width=1)


_SOMETHING = "export default (args, tool, {value}) => value > 0"
_TOLD = """
const [name, digits] = format.split(':'), number = numbers.data[name][value - 1]
if (name in names) return names[name][number]
return number.toLocaleString('en-US', digits ? {minimumFractionDigits: +digits, maximumFractionDigits: +digits} : {})
"""

__all__ = ["COLOURS", "FADED", "PIXELS", "Cells", "Raster", "gaps"]
