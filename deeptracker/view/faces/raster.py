"""Cells of a face as images, one a row and a column a pixel: painting takes no longer for a million than for ten."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, CustomJSHover, HoverTool, LinearColorMapper
from numpy.typing import NDArray

from deeptracker.view.columns import Columns
from deeptracker.view.scale import Scale

PIXELS = 640
"""Columns over time, where nobody says how wide the face is: those of a page of 1600 pixels. More than the screen has
would hide cells.
"""
GAP = 0.12
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
    """An image glyph on a face. ``draw`` and ``cut`` send a byte and the number of a cell for each pixel, no more.

    Parameters
    ----------
    bottom, top : of each row of the face.
    tooltips : (what, text), in which ``@cell{name}`` is a number or word of ``told``, ``@cell{name:2}`` with two
        decimals.

    Attributes
    ----------
    shown : (row, column) the cell that is seen, 0 where there is none, else its number + 1.
    """

    def __init__(
        self,
        plot: Any,
        cells: Cells,
        scale: Scale,
        bottom: NDArray[np.float64],
        top: NDArray[np.float64],
        tooltips: list[tuple[str, str]],
    ) -> None:
        self.cells, self.bottom, self.top = cells, bottom, top
        self.inside: Mask = np.ones(len(cells.band), bool)
        self.grid, self.start = Columns(0.0, 1.0, np.zeros(0, np.intp), np.zeros(0, np.intp)), 0
        self.shown = np.zeros((len(bottom), 0), np.int64)
        self._bytes = 1 + (scale.encode(cells.size).astype(np.int64) - 1).clip(0) * (COLOURS - 1) // 254
        self.source = ColumnDataSource({name: [] for name in ("image", "cell", "x", "dw", "y", "dh")})
        colours = [scale.colours[i * 254 // (COLOURS - 1)] for i in range(COLOURS)]
        pale = [f"{colour}{round(255 * FADED):02x}" for colour in colours]
        mapper = LinearColorMapper(low=1, high=2 * COLOURS, low_color="#00000000", palette=colours + pale)
        self.glyph = plot.image("image", "x", "y", "dw", "dh", source=self.source, color_mapper=mapper)
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
        row = np.flatnonzero((self.bottom <= y) & (y < self.top))
        column = int(np.ceil((x - self.grid.left) / self.grid.width)) - 1  # a pass counts up to itself
        if not len(row) or not 0 <= column < self.grid.count or not self.shown[row[0], column]:
            return None
        return int(self.shown[row[0], column]) - 1

    def _put(self) -> None:
        self.shown = self._seen()
        byte = np.concatenate([[0], self._bytes + np.where(self.inside, 0, COLOURS)]).astype(np.uint8)
        rows = np.flatnonzero(self.shown.any(axis=1)) if self.grid.count else np.zeros(0, np.intp)
        number = np.uint16 if len(self.cells.band) < np.iinfo(np.uint16).max else np.uint32
        self.source.data = {
            "image": [byte[self.shown[row]][None] for row in rows],
            "cell": [self.shown[row].astype(number)[None] for row in rows],
            "x": np.full(len(rows), self.grid.left),
            "dw": np.full(len(rows), self.grid.width * self.grid.count),
            "y": self.bottom[rows],
            "dh": self.top[rows] - self.bottom[rows],
        }

    def _seen(self) -> NDArray[np.int64]:
        """Which cell is seen where: those in the cut before the others, then by rank."""
        first = np.searchsorted(self.grid.last, self.cells.place - self.start, side="right")
        stop = np.searchsorted(self.grid.first, self.cells.place - self.start, side="right")
        order = np.lexsort((self.cells.rank, self.inside))
        wide = np.maximum(stop - first, 0)[order]
        cell = np.repeat(order, wide)
        column = np.arange(len(cell)) - np.repeat(np.cumsum(wide) - wide - first[order], wide)
        seen = np.zeros((len(self.bottom), self.grid.count), np.int64)
        seen[self.cells.band[cell], column] = cell + 1  # of equal places the last one stays
        return seen


_SOMETHING = "export default (args, tool, {value}) => value > 0"
_TOLD = """
const [name, digits] = format.split(':'), number = numbers.data[name][value - 1]
if (name in names) return names[name][number]
return number.toLocaleString('en-US', digits ? {minimumFractionDigits: +digits, maximumFractionDigits: +digits} : {})
"""

__all__ = ["COLOURS", "FADED", "GAP", "PIXELS", "Cells", "Raster"]
