"""The one way from a run to the screen: a group, a range of iterations and a number of pixels give a Dataset.

What is read grows with the screen, not with the log: NumPy from Zarr, of each variable only the chunks that are
wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deeptracker.aggregate.pyramid import pyramid
from deeptracker.errors import InputError
from deeptracker.schema.indexed import BIN_SIZES, REDUCTIONS
from deeptracker.screen.kept import BYTES, Kept, hashable, state_of
from deeptracker.screen.level import CELLS, Level, choose
from deeptracker.screen.opened import axis_of, forget_groups, opened
from deeptracker.screen.picking import Pick, length, pick, said

PIXELS = 1200
_kept: Kept[xr.Dataset] = Kept(BYTES)
BLOCK = BIN_SIZES[-1]
"""Records after the index that are binned at a time."""

Values = dict[str, NDArray[Any]]
Select = Mapping[str, Pick]


def read(
    run: Any,
    group: str,
    names: Sequence[str],
    first: float | None = None,
    last: float | None = None,
    pixels: int = PIXELS,
    *,
    select: Select | None = None,
    reductions: Sequence[str] = REDUCTIONS,
    cells: int = CELLS,
) -> xr.Dataset:
    """Variables of a group between two iterations, at the level that the screen needs, loaded.

    Parameters
    ----------
    run : an opened run.
    group : a group that grows: ``filters/dense``, ``layers/dense``, ``scalars``, ``validation/<set>/<weights>``, …
    names : variables that run along the group's growing axis.
    first, last : iterations, both included; what is in force at ``first`` counts. Default: the whole run.
    pixels : width of the screen: at most four rows a pixel are read where the index has a level coarse enough.
    select : other axis → slice or sorted positions; left out: all of it.
    reductions : which of min, mean, max to read of bins.
    cells : numbers to read at most, where the index has a level coarse enough.

    Returns
    -------
    Dataset of (reduction, iteration, …), or (reduction, validation, …) of answers. ``reduction`` has the one entry
    ``value`` where these are the records themselves. The growing coordinate is the first iteration of each bin, the
    coordinate ``last`` its last one. Plain labels of the other axes are kept, those along ``filter`` are not.
    Attributes: ``group``, ``level`` (a ``Level``: the group that was read, and its rows), ``size`` (records a bin),
    ``select``; ``expression`` turns them into a line of Python.

    NaN are left out of bins; a bin of nothing else is NaN. Records that were recorded after the index was made are
    binned here, so nothing is missing from the picture.

    Raises
    ------
    MissingGroupError : the run lacks the group. InputError : it does not grow, or has no such variable.
    """
    dataset, select = opened(run, group), dict(select or {})
    level = _level(run, group, names, first, last, pixels, select, reductions, cells)
    state = state_of(run)
    key = None if state is None else (state, group, tuple(names), level, hashable(select), tuple(reductions))

    def make() -> xr.Dataset:
        return _load(run, dataset, group, names, level, select, reductions)

    found = make() if key is None else _kept.get(key, make, lambda data: int(data.nbytes))
    return found.copy()


def _level(
    run: Any,
    group: str,
    names: Sequence[str],
    first: float | None,
    last: float | None,
    pixels: int,
    select: Select,
    reductions: Sequence[str],
    cells: int,
) -> Level:
    """The level that ``read`` reads."""
    dataset = opened(run, group)
    axis = axis_of(dataset)
    if axis is None:
        raise InputError(f"{group} is a table, it has no iterations: screen.table reads it")
    _check(dataset, group, axis, names)
    low, high = _span(dataset, axis, first, last)
    width = sum(_width(dataset[name], axis, select) for name in names)
    return choose(run, group, low, high, pixels, width=width, reductions=len(reductions), cells=cells, names=names)


def expression_for(
    run: Any, group: str, name: str, first: float | None = None, last: float | None = None, pixels: int = PIXELS,
    *, select: Select | None = None,
) -> str:  # fmt: skip
    """``expression`` of what ``read`` would read, without reading it."""
    select = dict(select or {})
    level = _level(run, group, [name], first, last, pixels, select, REDUCTIONS, CELLS)
    data = opened(run, group)[[name]].assign_attrs({"group": group, "level": level, "select": select})
    return expression(data, name)


def forget() -> None:
    """Keep nothing of what was read: the next read opens files again."""
    forget_groups()
    forget_values()


def forget_values() -> None:
    """Keep no values; groups stay open."""
    _kept.clear()


def _load(
    run: Any,
    dataset: xr.Dataset,
    group: str,
    names: Sequence[str],
    level: Level,
    select: Select,
    reductions: Sequence[str],
) -> xr.Dataset:
    """What ``read`` returns, of a level that was chosen."""
    axis = level.axis
    if level.size == 1:
        values = {
            name: pick(dataset[name].variable, {**select, axis: slice(level.start, level.stop)})[None]
            for name in names
        }
        kinds, starts = ["value"], dataset[axis].values[level.start : level.stop]
        ends = starts
    else:
        kinds, (values, starts, ends) = list(reductions), _joined(run, dataset, names, level, select, reductions)
    variables: dict[str, Any] = {}
    for name in names:
        values[name].flags.writeable = False  # kept for the next reader
        others = [dim for dim in map(str, dataset[name].dims) if dim != axis]
        variables[name] = (("reduction", axis, *others), values[name], dict(dataset[name].attrs))
    coordinates = {"reduction": kinds, axis: starts, "last": (axis, ends), **_labels(dataset, names, axis, select)}
    return xr.Dataset(variables, coordinates, {"group": group, "level": level, "size": level.size, "select": select})


def table(run: Any, group: str, names: Sequence[str] | None = None, *, select: Select | None = None) -> xr.Dataset:
    """A group that is no series (architecture, images, orders, faces), loaded: these variables (default: all).

    Coordinates are kept. Along an axis that grows, give ``select``.
    """
    dataset = opened(run, group)
    dataset = dataset if names is None else dataset[list(names)]
    out = {
        str(name): (data.dims, pick(data.variable, select or {}), data.attrs)
        for name, data in dataset.data_vars.items()
    }
    index: Any = {dim: key for dim, key in (select or {}).items() if dim in dataset.dims}
    return dataset.drop_vars(list(out)).isel(index).assign(out)


def rows(run: Any, group: str, names: Sequence[str], axis: str, start: int, stop: int) -> xr.Dataset:
    """Rows of a group along an axis with all labels, loaded: for who takes a group elsewhere block by block."""
    return opened(run, group)[list(names)].isel({axis: slice(start, stop)}).load()


def expression(data: xr.Dataset, name: str, reduction: str = "max") -> str:
    """The xarray expression over ``run`` that gives the numbers of ``data[name]`` (one reduction of it).

    Parameters
    ----------
    data : as ``read`` returns it.
    """
    group, level = data.attrs["group"], data.attrs["level"]
    wanted = {dim: key for dim, key in data.attrs["select"].items() if dim in data[name].dims}
    chosen = "".join(f", {dim}={said(key)}" for dim, key in wanted.items())
    if level.size == 1:
        return f'run.dataset("{group}")["{name}"].isel({level.axis}=slice({level.start}, {level.stop}){chosen})'
    if level.rest[0] == level.rest[1]:
        bins = f"{level.axis}_bin=slice({level.start}, {level.stop})"
        return f'run.dataset("{level.group}")["{name}"].sel(reduction="{reduction}").isel({bins}{chosen})'
    first = level.start * level.size if level.stop > level.start else level.rest[0]
    return (
        f'run.dataset("{group}")["{name}"].isel({level.axis}=slice({first}, {level.rest[1]}){chosen})'
        f'.coarsen({level.axis}={level.size}, boundary="pad").{reduction}()'
    )


def _span(dataset: xr.Dataset, axis: str, first: float | None, last: float | None) -> tuple[float, float]:
    at = dataset[axis].values
    if not len(at):
        return 0.0, 0.0
    return float(at[0] if first is None else first), float(at[-1] if last is None else last)


def _check(dataset: xr.Dataset, group: str, axis: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in dataset or axis not in dataset[name].dims:
            known = ", ".join(str(n) for n, v in dataset.data_vars.items() if axis in v.dims)
            raise InputError(f"{group} has no series {name!r}; it has {known or 'none'}")


def _width(data: xr.DataArray, axis: str, select: Select) -> int:
    """Numbers of one row."""
    others = [length(data.sizes[dim], select.get(str(dim))) for dim in data.dims if dim != axis]
    return int(np.prod(others, dtype=np.int64))


def _joined(
    run: Any, dataset: xr.Dataset, names: Sequence[str], level: Level, select: Select, reductions: Sequence[str]
) -> tuple[Values, NDArray[np.int64], NDArray[np.int64]]:
    """Values (reduction, bin, …), first and last iteration of each bin: from the index, then from what came later."""
    coarse, axis = opened(run, level.group), level.axis
    positions, part = dataset[axis].values, slice(level.start, level.stop)
    values = {name: _binned(coarse[name].variable, f"{axis}_bin", part, select, reductions) for name in names}
    starts = np.arange(level.start, level.stop) * level.size
    if level.rest[1] > level.rest[0]:
        for name in names:
            later = list(_later(dataset[name].variable, level, select, reductions))
            values[name] = np.concatenate([values[name], *later], axis=1)
        starts = np.concatenate([starts, np.arange(*level.rest, level.size)])
    stops = np.append(starts[1:], level.rest[1] if level.rest[1] > level.rest[0] else level.stop * level.size)
    return values, positions[starts], positions[np.minimum(stops, len(positions)) - 1]


def _binned(variable: xr.Variable, axis: str, part: slice, select: Select, reductions: Sequence[str]) -> NDArray[Any]:
    """Bins of the index, (reduction, bin, …); reductions lie in chunks of their own, so only the wanted are read."""
    place = variable.dims.index("reduction")
    if list(reductions) == list(REDUCTIONS):
        return np.moveaxis(pick(variable, {**select, axis: part}), place, 0)
    parts = []
    for name in reductions:
        number = REDUCTIONS.index(name)
        one = pick(variable, {**select, axis: part, "reduction": slice(number, number + 1)})
        parts.append(np.moveaxis(one, place, 0))
    return np.concatenate(parts)


def _later(
    variable: xr.Variable, level: Level, select: Select, reductions: Sequence[str]
) -> Iterator[NDArray[np.float32]]:
    """Bins of the records after the index, by its own law, a block of them at a time in memory."""
    chosen = [REDUCTIONS.index(name) for name in reductions]
    for start in range(*level.rest, BLOCK):
        part = slice(start, min(start + BLOCK, level.rest[1]))
        values = pick(variable, {**select, level.axis: part})
        yield np.moveaxis(pyramid(values, (level.size,))[level.size], 1, 0)[chosen]


def _labels(dataset: xr.Dataset, names: Sequence[str], axis: str, select: Select) -> dict[str, Any]:
    """Labels of the other axes; not those of filters: rows are found by position, a MultiIndex costs more."""
    dims = {str(dim) for name in names for dim in dataset[name].dims} - {axis, "filter"}
    return {dim: dataset[dim].values[select.get(dim, slice(None))] for dim in dims if dim in dataset.coords}


__all__ = ["PIXELS", "expression", "expression_for", "forget", "forget_values", "read", "rows", "table"]
