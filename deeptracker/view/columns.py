"""The uniform columns of an image over time, and rows joined into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray


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


def curve(data: xr.DataArray, pixels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A series as ``screen.read`` gives it, (reduction, iteration), as a line that looks the same with few points.

    Records: those that are a number, thinned to the smallest and the largest of each pixel. Bins: their smallest and
    their largest value in turn, in the middle of the bin.
    """
    at = np.asarray(data[data.dims[1]].values)
    if data.sizes["reduction"] == 1:
        values = np.asarray(data.values[0], np.float64)
        known = np.isfinite(values)
        return thinned(at[known], values[known], pixels)
    middle = (at + np.asarray(data["last"].values)) / 2
    pair = np.stack([data.values[0], data.values[-1]], axis=1).astype(np.float64)
    told = np.isfinite(pair).all(axis=1)
    return np.repeat(middle[told], 2), pair[told].ravel()


def thinned(
    iteration: NDArray[np.int64], values: NDArray[np.floating[Any]], pixels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A curve with few points: the smallest and the largest value of each pixel, in turn."""
    if len(iteration) <= 2 * pixels:
        return iteration.astype(np.float64), values.astype(np.float64)
    grid = columns(iteration, float(iteration[0]), float(iteration[-1]), pixels)
    pair = np.stack([grid.reduce(values, "min"), grid.reduce(values, "max")], axis=1).ravel()
    return np.repeat(grid.left + grid.width * (np.arange(grid.count) + 0.5), 2), pair.astype(np.float64)


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
