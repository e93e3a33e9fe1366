"""What a row of the layers' chart shows: strips of filters, a horizon, quantiles, change ratios, histograms.

Each look turns one place of the net and a range of iterations into bytes on one colour scale. A look is data: adding
one is a class with ``scale``, ``pixels`` (height of a row) and ``draw``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptracker.screen import read, sizes, variables
from deeptracker.view import words
from deeptracker.view.columns import Columns, columns
from deeptracker.view.network.layer_values import LayerValues, by_strength, squeeze
from deeptracker.view.network.rasters import FOLDS, QUANTILE_NAMES, areas, fold, middle, normalised, quantiles, shares
from deeptracker.view.places import Place
from deeptracker.view.scale import Scale

LOOKS = {
    "strips": "filters as strips",
    "horizon": "horizon",
    "band": "quantiles of the filters",
    "ratios": "change ratios |g/w|",
    "weights": "histogram of the weights",
    "gradients": "histogram of the gradients",
}
NORMALS = {
    "shared": "one scale",
    "layer": "a scale a layer",
    "filter": "a scale a filter",
    "iteration": "a scale an iteration",
}
TAIL = 0.002
"""Share of the smallest and of the largest parameters that histograms leave out."""
COLUMNS = 400
"""Columns of looks that order all filters of a column: a quantile costs more than a maximum."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One row: ``cells`` (height, columns), bottom row first, 0 = missing, numbers to tell for each column, and the
    ``order`` in which filters are drawn, which a zoom keeps.
    """

    cells: NDArray[np.uint8]
    grid: Columns
    numbers: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    order: NDArray[np.intp] | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        ordered = 0 if self.order is None else self.order.nbytes
        grid = self.grid.first.nbytes + self.grid.last.nbytes
        return self.cells.nbytes + grid + ordered + sum(one.nbytes for one in self.numbers.values())


def looks_of(run: Any) -> list[str]:
    """The looks that a run has data for."""
    full = variables(run, "layers/full") if sizes(run, "layers/full").get("iteration") else {}
    known = {"ratios": "change_ratio_cdf", "weights": "w_hist", "gradients": "g_hist"}
    has_filters = run.has("filters/dense")
    return [
        name for name in LOOKS if (known[name] in full if name in known else has_filters if name == "band" else True)
    ]


def look(name: str, run: Any, variable: str, show: str, *, normal: str = "shared", aggregate: str = "max") -> Any:
    """The look of this name."""
    if name == "horizon":
        return Horizon(run, variable, show, normal)
    if name == "band":
        return Band(run, variable, show, normal)
    if name in ("ratios", "weights", "gradients"):
        return Distribution(run, name)
    return StripLook(run, variable, show, normal, aggregate)


class StripLook:
    """The filters of a place as rows of heat, those that changed most on top; neighbours share a row."""

    name, high = "strips", (10, 24)

    def __init__(self, run: Any, variable: str, show: str, normal: str = "shared", aggregate: str = "max") -> None:
        self.values = LayerValues(run, variable, show)
        self.normal = normal if show == "value" else "shared"
        self.aggregate = aggregate
        self.scale = self.values.scale if self.normal == "shared" else _own_scale(variable, self.normal)
        self.orders: dict[str, NDArray[np.intp]] = {}

    def net(self, start: float, stop: float, pixels: int) -> Any:
        return self.values.net(start, stop, pixels)

    def draw(self, place: Place, start: float, stop: float, pixels: int, net: Any, height: int) -> Drawn:
        cells = self.values.cells(place, start, stop, pixels, net=net)
        values = normalised(cells.values, self.normal, self.values.scale.logarithmic)
        if place.name not in self.orders:
            self.orders[place.name] = by_strength(values)
        rows = squeeze(values[:, self.orders[place.name]], height, self.aggregate)
        return Drawn(np.ascontiguousarray(self.scale.encode(rows).T[::-1]), cells.grid, {}, self.orders[place.name])


class Horizon:
    """One series a place, folded: each band of colour adds to the one under it, so that a low row shows a wide range.

    Changes fold at each doubling, blue where the value is below its usual level; values at each third of the scale.
    Layers are read as wholes, blocks and stages from the index: always of the concatenated parameters.
    """

    name, high = "horizon", (18, 30)
    said = "Each row is one series of the layer as a whole, folded: darker bands lie on top of lighter ones."

    def __init__(self, run: Any, variable: str, show: str, normal: str = "shared") -> None:
        self.run, self.variable, self.show = run, variable, show
        self.normal = "layer" if show == "value" and normal != "shared" else "shared"
        self.by_level: dict[str, LayerValues] = {}
        self.values = self._of("layer")
        self.scale = self.values.scale if self.normal == "shared" else _own_scale(variable, "layer")

    def _of(self, level: str) -> LayerValues:
        if level not in self.by_level:
            self.by_level[level] = LayerValues(self.run, self.variable, self.show, axis=level)
        return self.by_level[level]

    def net(self, start: float, stop: float, pixels: int) -> Any:
        return None

    def draw(self, place: Place, start: float, stop: float, pixels: int, net: Any, height: int) -> Drawn:
        values = self._of(place.level)
        cells = values.cells(place, start, stop, pixels)
        series = cells.values[:, 0]
        if self.show == "change":
            top = 8 / FOLDS if not values.positive else 1.0
            folded, signed = series / top, True
        else:
            shown = normalised(cells.values, self.normal, values.scale.logarithmic)[:, 0]
            folded, signed = FOLDS * self.scale.place(shown).astype(np.float32), self.scale.palette == "change"
            folded = 2 * folded - FOLDS if signed else folded
        return Drawn(fold(folded, height, signed), cells.grid, {words.statistic(self.variable): series})


class Band:
    """Quantiles of the filters of a place over time: lightest from the smallest to the largest, dark their middle."""

    name, high = "band", (30, 44)
    said = "Each row holds the filters of a layer: all of them, half of them, their median."

    def __init__(self, run: Any, variable: str, show: str, normal: str = "shared") -> None:
        self.values = LayerValues(run, variable, show)
        self.normal = "layer" if normal != "shared" and show == "value" else "shared"
        ticks = ((0.0, "none"), (0.3, "all"), (0.6, "half"), (1.0, "median"))
        self.scale = Scale("value", 0.0, 1.0, f"filters by {variable}", ticks)

    def net(self, start: float, stop: float, pixels: int) -> Any:
        return self.values.net(start, stop, min(pixels, COLUMNS))

    def draw(self, place: Place, start: float, stop: float, pixels: int, net: Any, height: int) -> Drawn:
        cells = self.values.cells(place, start, stop, min(pixels, COLUMNS), net=net)
        levels = quantiles(cells.values)
        where = levels
        if self.normal == "layer":
            where = normalised(levels, "layer", self.values.scale.logarithmic)
        seats = (self.values.scale if self.normal == "shared" else _own_scale("", "layer")).place(where)
        names = dict(zip(QUANTILE_NAMES, levels.T, strict=True))
        return Drawn(areas(seats, height), cells.grid, names)


class Distribution:
    """How the parameters of a layer are distributed over time: shares under change ratios, or a histogram."""

    high = (34, 48)

    def __init__(self, run: Any, name: str) -> None:
        self.run, self.name = run, name
        self.variable = {"ratios": "change_ratio_cdf", "weights": "w_hist", "gradients": "g_hist"}[name]
        if name == "ratios":
            ticks = ((0.0, "≤ 1e-4"), (0.5, "1e-2"), (1.0, "≥ 1"))
            self.said = "Each row, full height, is 100% of a layer's weights, those with a small |g/w| below."
            self.scale = Scale("value", 0.0, 1.0, "share of weights by |g/w|", ticks)
        else:
            what = "weights" if name == "weights" else "gradients"
            title = f"{what} by size, negative below, zero in the middle"
            self.said = f"Each row is a layer's {what} by size, on a logarithmic scale; the most frequent is darkest."
            self.scale = Scale("value", 0.0, 1.0, title, ((0.0, "none"), (1.0, "most")), bend=0.5)

    def net(self, start: float, stop: float, pixels: int) -> Any:
        return read(self.run, "layers/full", [self.variable], start, stop, pixels, reductions=["mean"])

    def draw(self, place: Place, start: float, stop: float, pixels: int, net: Any, height: int) -> Drawn:
        data = net[self.variable].isel(layer=place.index)
        values = np.asarray(data.values[0], dtype=np.float32)
        grid = columns(np.asarray(net["iteration"].values), start, stop, pixels)
        seen = values[grid.last - 1] if len(values) else values[:0]
        if self.name == "ratios":
            thresholds = np.asarray(net["threshold"].values, dtype=np.float64)
            half = {"|g/w| of half the weights, at most": middle(seen, thresholds)}
            return Drawn(shares(seen, thresholds, height), grid, half)
        total = np.maximum(seen.sum(axis=1, keepdims=True), 1)
        rows = squeeze(seen[:, self._telling(net)] / total, height)
        peak = np.maximum(rows.max(axis=1, keepdims=True, initial=0), 1e-9)
        return Drawn(np.ascontiguousarray(self.scale.encode(rows / peak).T), grid)

    def _telling(self, net: Any) -> NDArray[np.bool_]:
        """Bins that are drawn: sizes with nearly all parameters of the net, the same for every layer."""
        counts = np.nansum(net[self.variable].values[0], axis=(0, 1)).astype(np.float64)
        edges = np.abs(np.asarray(net["bin"].values, dtype=np.float64))
        order = np.argsort(edges, kind="stable")
        below = np.cumsum(counts[order]) / max(counts.sum(), 1)
        tiny, huge = np.interp([TAIL, 1 - TAIL], below, np.arange(len(edges)))
        kept = np.zeros(len(edges), bool)
        kept[order[int(tiny) : int(np.ceil(huge)) + 1]] = True
        kept &= np.isfinite(edges)
        return kept if kept.any() else np.isfinite(edges)


def _own_scale(variable: str, normal: str) -> Scale:
    whose = {"layer": "the layer's", "filter": "the filter's", "iteration": "the iteration's"}[normal]
    return Scale("value", 0.0, 1.0, f"{variable} within {whose} own range", ((0.0, "lowest"), (1.0, "highest")))


__all__ = ["LOOKS", "NORMALS", "Band", "Distribution", "Drawn", "Horizon", "StripLook", "look", "looks_of"]
