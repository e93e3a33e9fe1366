"""One statistic of a layer's filters over time, as its value or as its change, ready for an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptracker.errors import InputError
from deeptracker.screen import extent, read, sizes, table, units, variables
from deeptracker.screen.kept import BYTES, Kept, state_of
from deeptracker.view import words
from deeptracker.view.columns import Columns, columns
from deeptracker.view.network.change import WINDOW, Usual, is_positive, learning_rate_steps, usual
from deeptracker.view.places import Place
from deeptracker.view.scale import Scale, change_scale, value_scale

PIXELS = 1200
LEVELS = 160
"""Rows of a layer's usual level that are kept for zooming."""
SHOWN = ("change", "value")
GROUPS = {
    "filter": ("filters/dense", "filters/full", "filters/probe", "anomalies/filters"),
    "layer": ("layers/dense", "layers/full", "layers/probe"),
    "block": ("index/blocks",),
    "stage": ("index/stages",),
}
PREFERRED = ("update_angle", "update_ratio2", "grad_ratio2", "g_rms", "w_rms", "rotation_from_init", "bn_gamma")


CODES = ("filter_signal", "layer_signal")
"""Numbers that stand for names: nothing to draw."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Filters × time of one layer, on uniform columns: ``values`` (columns, filters) and their running reference."""

    grid: Columns
    values: NDArray[np.float32]


_known: Kept[list[str]] = Kept(32)
_scales: Kept[tuple[bool, Scale]] = Kept(256)
_cells: Kept[Cells] = Kept(BYTES // 2)
"""Of single layers; the strips of a whole net are kept as they are drawn."""


class LayerValues:
    """Reads one statistic for any layer and range, as change or as value; scales are those of the whole net.

    ``axis`` (default: filters where there are any) chooses layers, blocks or stages as wholes instead.
    """

    def __init__(
        self, run: Any, variable: str = "update_angle", show: str = "change", *, axis: str | None = None
    ) -> None:
        if show not in SHOWN:
            raise InputError(f"show={show!r}: choose one of {', '.join(SHOWN)}")
        self.run, self.variable, self.show = run, variable, show
        self.axis = axis or axis_of(run)
        self.group = group_with(run, variable, self.axis)
        self.label = words.with_unit(variable, units(run, self.group, variable))
        self.cuts = learning_rate_steps(run)
        state = state_of(run)
        key = (state, self.group, variable, self.label)
        self.positive, scale = self._fitting() if state is None else _scales.get(key, self._fitting, lambda _: 1)
        self._usual: dict[str, Usual] = {}
        self.scale: Scale
        if show == "value":
            self.scale = scale
        elif self.positive:
            self.scale = change_scale(f"{variable} against its usual level")
        else:
            ticks = ((-8.0, "−8"), (0.0, "0"), (8.0, "8 spreads"))
            self.scale = Scale("change", -8.0, 8.0, f"{variable}, deviation from its usual level", ticks)

    def _fitting(self) -> tuple[bool, Scale]:
        """Whether the statistic is a size, and the scale of its values over the whole run."""
        sample = self.net(*whole(self.run, self.group))[self.variable].values
        return is_positive(sample), value_scale(sample, self.label)

    def net(self, start: float, stop: float, pixels: int = PIXELS) -> Any:
        """The whole net between two iterations, at the level that its many filters allow: one read for all layers."""
        return read(self.run, self.group, [self.variable], start, stop, pixels)

    def cells(self, place: Place, start: float, stop: float, pixels: int = PIXELS, *, net: Any = None) -> Cells:
        """One layer's filters between two iterations; the farthest value of each column is kept, so spikes stay.

        ``net`` is what ``net(start, stop, pixels)`` gave, where many layers are drawn; else the layer alone is read.
        """
        state = state_of(self.run)
        if net is not None or state is None:
            return self._made(place, start, stop, pixels, net)
        key = (state, self.group, self.variable, self.show, place.name, start, stop, pixels)
        return _cells.get(
            key, lambda: self._made(place, start, stop, pixels, None), lambda cells: int(cells.values.nbytes)
        )

    def _made(self, place: Place, start: float, stop: float, pixels: int, net: Any) -> Cells:
        name, part = self.variable, place.along(self.axis)
        if net is None:
            data = read(self.run, self.group, [name], start, stop, pixels, select={self.axis: part})[name]
        else:
            data = net[name].isel({self.axis: part})
        values = np.asarray(data.values, dtype=np.float32)
        iteration = np.asarray(data["iteration"].values)
        grid = columns(iteration, start, stop, pixels)
        if self.show == "value":
            return Cells(grid, grid.reduce(values[-1], "max"))
        change = self._change(place, values, iteration, (start, stop), net is not None)
        return Cells(grid, grid.reduce(change, "extreme"))

    def _change(
        self,
        place: Place,
        values: NDArray[np.float32],
        iteration: NDArray[np.int64],
        span: tuple[float, float],
        of_net: bool,
    ) -> NDArray[np.float32]:
        """Change of (reduction, rows, filters) against the usual level of the whole run, whatever part is shown."""
        first, last = whole(self.run, self.group)
        if span[0] <= first and span[1] >= last:
            level = usual(values[len(values) // 2], iteration, self.cuts, self.positive)
            self._usual[place.name] = level.thinned(LEVELS)
        else:
            if place.name not in self._usual:
                self._made(place, first, last, PIXELS, self.net(first, last) if of_net else None)
            level = self._usual[place.name]
        if len(values) == 1:
            return level.change(values[0], iteration)
        values = self._without_steps(values, iteration)
        low, high = level.change(values[0], iteration), level.change(values[-1], iteration)
        return np.where(np.abs(low) > np.abs(high), low, high)

    def _without_steps(self, values: NDArray[np.float32], iteration: NDArray[np.int64]) -> NDArray[np.float32]:
        """Bins that a learning-rate step falls into show the bin before: half of it belongs to another level."""
        row = np.searchsorted(iteration, self.cuts, side="right") - 1
        known = (row > 0) & (row < len(iteration) - 1)
        inside = np.unique(row[known][iteration[row[known]] < self.cuts[known]])
        values = values.copy()
        values[:, inside] = values[:, inside - 1]
        return values


def axis_of(run: Any) -> str:
    """``filter``, or ``layer`` where a run knows its layers as wholes only (a tracker's histograms)."""
    return "filter" if any(run.has(group) for group in GROUPS["filter"]) else "layer"


def _statistics(run: Any, group: str, axis: str) -> list[str]:
    return [name for name, dims in variables(run, group).items() if dims == ("iteration", axis)]


def group_with(run: Any, variable: str, axis: str | None = None) -> str:
    """The group that holds a statistic per filter (or layer); an InputError that lists what there is, where none."""
    axis = axis or axis_of(run)
    groups = [group for group in GROUPS[axis] if run.has(group)]
    for group in groups:
        if variable in _statistics(run, group, axis):
            return group
    known = sorted({name for group in groups for name in _statistics(run, group, axis)})
    raise InputError(f"{run.path}: no statistic {variable!r} per {axis}; there are {', '.join(known) or 'none'}")


def told(run: Any) -> list[str]:
    """Statistics that the run has numbers of, the most telling first; the others were never recorded."""
    state = state_of(run)
    return list(_told(run) if state is None else _known.get(state, lambda: _told(run), lambda _: 1))


def _told(run: Any) -> list[str]:
    axis = axis_of(run)
    groups = [group for group in GROUPS[axis] if run.has(group)]
    names = list(
        dict.fromkeys(name for group in groups for name in _statistics(run, group, axis) if name not in CODES)
    )
    ordered = [n for n in PREFERRED if n in names] + [n for n in names if n not in PREFERRED]
    return [name for name in ordered if _is_told(run, name)] or ordered


def opening(run: Any) -> tuple[str, str]:
    """(statistic, change or value) that a view opens with; under a window of records there is no usual level yet."""
    group = GROUPS[axis_of(run)][0]
    names = _statistics(run, group, axis_of(run))
    name = next((n for n in PREFERRED if n in names and _is_told(run, n)), None) or told(run)[0]
    return name, "change" if sizes(run, group)["iteration"] >= WINDOW else "value"


def _is_told(run: Any, name: str) -> bool:
    """Whether there is a number in the middle or the last record; layers tell it of their filters, and are fewer."""
    group = next(g for g in (*GROUPS["layer"], *GROUPS["filter"]) if name in variables(run, g))
    records = sizes(run, group)["iteration"]
    rows = np.unique([records // 2, max(records - 1, 0)])[: records or 0]
    return bool(np.isfinite(table(run, group, [name], select={"iteration": rows})[name].values).any())


def whole(run: Any, group: str) -> tuple[float, float]:
    """First and last iteration of a group."""
    first, last = extent(run, group) or (0, 1)
    return float(first), float(last)


def squeeze(values: NDArray[np.float32], rows: int, aggregate: str = "max") -> NDArray[np.float32]:
    """Filters (columns, filters) joined to at most ``rows`` neighbours' rows: the farthest from 0, or the mean."""
    filters = values.shape[1]
    if filters <= rows:
        return values
    edges = np.linspace(0, filters, rows + 1).astype(np.intp)
    grid = Columns(0.0, 1.0, edges[:-1], edges[1:])
    return grid.reduce(values.T, "extreme" if aggregate == "max" else "mean").T


def by_strength(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Filters ordered by the largest size they reach, so that what happened together lies together."""
    peak = np.nanmax(np.where(np.isnan(values), -np.inf, np.abs(values)), axis=0, initial=-np.inf)
    return np.argsort(-peak, kind="stable")


def read_out(values: LayerValues) -> str:
    """JavaScript that writes the number behind a byte in words: "2.1× its usual level", or the value."""
    number = values.scale.javascript()
    if values.show == "value":
        unit = values.label.partition("[")[2].rstrip("]")
        return f"value == 0 ? 'none' : {number}.toPrecision(3) + ' {unit}'"
    if values.positive:
        return f"value == 0 ? 'none' : (2**{number}).toPrecision(2) + '× its usual level'"
    return f"value == 0 ? 'none' : {number}.toPrecision(2) + ' spreads from its usual level'"
