"""Which level of the hierarchical index a screen needs, and reading just that.

A view asks for a group, a range of iterations and a number of pixels. What is read grows with the pixels, not with
the log: beyond a few records a pixel, bins of 8, 64 or 512 records are read in place of the records themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deeptracker.schema.indexed import BIN_SIZES

RECORDS_PER_PIXEL = 4


@dataclass(frozen=True, slots=True)
class Level:
    """One level: ``group`` to read, ``size`` records a bin (1 = the records), rows ``start:stop`` of it."""

    group: str
    size: int
    start: int
    stop: int
    covered: int
    """Rows of the level in all; the records after its last whole bin are read from the group below."""

    @property
    def axis(self) -> str:
        return "iteration" if self.size == 1 else "iteration_bin"


@dataclass(frozen=True, slots=True)
class Columns:
    """The uniform columns of an image over time.

    ``left`` is where the first column begins, ``width`` the iterations of each, ``first``/``last`` the half-open
    range of rows that fall into each column. A record counts from its iteration until the next one.
    """

    left: float
    width: float
    first: NDArray[np.intp]
    last: NDArray[np.intp]

    @property
    def count(self) -> int:
        return len(self.first)

    @property
    def right(self) -> float:
        return self.left + self.width * self.count

    def reduce(self, values: NDArray[Any], how: str) -> NDArray[np.float32]:
        """``values`` (rows, …) reduced to (columns, …): ``max``, ``min``, ``mean``, or ``extreme`` = farthest from 0.

        NaN are left out; a column without a number is NaN.
        """
        rows = np.asarray(values, dtype=np.float32)
        if self.count == 0 or np.all(self.last - self.first == 1):
            return rows[self.first]
        if how == "mean":
            known = ~np.isnan(rows)
            total = self._fold(np.where(known, rows, np.float32(0)), np.add)
            count = self._fold(known.astype(np.float32), np.add)
            return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        if how == "max":
            return self._fold(rows, np.fmax)
        low = self._fold(rows, np.fmin)
        if how == "min":
            return low
        high = self._fold(rows, np.fmax)
        return np.where(np.abs(low) > np.abs(high), low, high)

    def _fold(self, rows: NDArray[np.float32], join: np.ufunc) -> NDArray[np.float32]:
        """The rows of each column joined, one row of every column at a time: ten times faster than ``reduceat``."""
        result = rows[self.first]
        for step in range(1, int((self.last - self.first).max())):
            here = np.flatnonzero(self.first + step < self.last)
            if len(here) == self.count:
                join(result, rows[self.first + step], out=result)
            else:
                result[here] = join(result[here], rows[self.first[here] + step])
        return result


def positions(run: Any, group: str, axis: str = "iteration") -> NDArray[np.int64]:
    """The coordinate along which a group grows, as integers."""
    return np.asarray(run.dataset(group)[axis].values, dtype=np.int64)


def choose(run: Any, group: str, start: float, stop: float, pixels: int) -> Level:
    """The level of ``group`` that a screen needs: at most four records a pixel, or a bin for every other pixel.

    Parameters
    ----------
    run : an opened run.
    group : ``filters/dense`` or ``layers/dense`` (their index levels are used), or any group that grows by iteration.
    start, stop : iterations, both included.
    pixels : width of the screen.
    """
    iteration = positions(run, group)
    rows = _rows(iteration, start, stop)
    best = Level(group, 1, *rows, len(iteration))
    axis = group.split("/")[0]
    for size in BIN_SIZES:
        name = f"index/{axis}_{size}"
        if rows[1] - rows[0] <= RECORDS_PER_PIXEL * pixels or not run.has(name):
            break
        if (rows[1] - rows[0]) / size < pixels / 2:
            break
        bins = positions(run, name, "iteration_bin")
        best = Level(name, size, *_rows(bins, start, stop), len(bins))
    return best


def _rows(iteration: NDArray[np.int64], start: float, stop: float) -> tuple[int, int]:
    """Rows from the last one at or before ``start`` up to ``stop``: what is in force at the left edge counts."""
    first = max(0, int(np.searchsorted(iteration, start, side="right")) - 1)
    last = max(first, int(np.searchsorted(iteration, stop, side="right")))
    return first, min(len(iteration), last)


def read(run: Any, group: str, names: list[str], start: float, stop: float, pixels: int) -> xr.Dataset:
    """The chosen level's variables between two iterations, loaded, always on dims ``(reduction, iteration, …)``.

    ``reduction`` is min, mean, max on a coarse level; at the records themselves it has the one entry ``value``.
    The records after the last whole bin are reduced here, so nothing at the end of a run is missing.
    """
    level = choose(run, group, start, stop, pixels)
    if level.size == 1:
        part = run.dataset(group)[names].isel(iteration=slice(level.start, level.stop))
        return _plain(part).expand_dims(reduction=["value"]).load()
    bins = run.dataset(level.group)[names].isel(iteration_bin=slice(level.start, level.stop)).load()
    coarse = _plain(bins).rename(iteration_bin="iteration").transpose("reduction", "iteration", ...)
    if level.stop < level.covered:
        return coarse
    rest = _plain(run.dataset(group)[names].isel(iteration=slice(level.covered * level.size, None))).load()
    rest = rest.isel(iteration=rest["iteration"].values <= stop)
    if rest.sizes["iteration"] == 0:
        return coarse
    tail = xr.concat(
        [getattr(rest, how)("iteration", keep_attrs=True, skipna=True) for how in ("min", "mean", "max")],
        xr.Variable("reduction", ["min", "mean", "max"]),
    )
    tail = tail.expand_dims(iteration=[int(rest["iteration"].values[0])]).transpose("reduction", "iteration", ...)
    return xr.concat([coarse, tail.assign_coords(reduction=coarse["reduction"].values)], "iteration")


def _plain(dataset: xr.Dataset) -> xr.Dataset:
    """Without the names of filters: rows are found by position, and a MultiIndex costs more than the numbers."""
    drop = [name for name in dataset.coords if name not in ("iteration", "iteration_bin", "reduction")]
    return dataset.drop_vars(drop)


def columns(iteration: NDArray[np.int64], start: float, stop: float, pixels: int) -> Columns:
    """Uniform columns over unevenly spaced rows: whole rows each where rows are even, else one a pixel."""
    if len(iteration) == 0:
        return Columns(float(start), 1.0, np.zeros(0, np.intp), np.zeros(0, np.intp))
    steps = np.diff(iteration)
    step = int(np.median(steps)) if len(steps) else 1
    if len(steps) == 0 or np.all(steps == step):
        share = -(-len(iteration) // pixels)
        first = np.arange(0, len(iteration), share)
        return Columns(float(iteration[0]), float(step * share), first, np.minimum(first + share, len(iteration)))
    left = float(max(start, iteration[0]))
    right = float(min(stop, iteration[-1])) + max(1, step)
    width = (right - left) / pixels
    edges = left + width * np.arange(pixels + 1)
    first = np.maximum(np.searchsorted(iteration, edges[:-1], side="right") - 1, 0)
    last = np.maximum(np.searchsorted(iteration, edges[1:], side="left"), first + 1)
    return Columns(left, width, first, last)
