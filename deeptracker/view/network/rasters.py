"""Numbers as rows of pixels: horizons, quantile bands, stacked shares. Plain arrays, no names and no colours.

Cells are bytes (height, columns), bottom row first: 0 = missing, 1…255 = a place on a palette.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDS = 3
"""Bands of a horizon chart on each side."""
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
QUANTILE_NAMES = ("smallest", "lower quartile", "median", "upper quartile", "largest")


def normalised(values: NDArray[np.float32], normal: str, logarithmic: bool) -> NDArray[np.float32]:
    """Values (columns, filters) as their place, 0…1, in the range of the layer, of each filter or of each column.

    Ranges go from the 0.5% to the 99.5% point, of logarithms where the scale is logarithmic. ``shared`` leaves the
    values as they are.
    """
    if normal == "shared":
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.log(np.where(values > 0, values, np.nan)) if logarithmic else values
    axis = {"layer": None, "filter": 0, "iteration": 1}[normal]
    finite = np.where(np.isfinite(shown), shown, np.nan)
    if not np.isfinite(finite).any():
        return np.full_like(values, np.nan)
    low, high = _ends(finite, axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.where(high > low, (shown - low) / (high - low), np.where(np.isnan(shown), np.nan, 0.5))
    return np.clip(place, 0, 1).astype(np.float32)


def _ends(values: NDArray[Any], axis: int | None) -> tuple[Any, Any]:
    """0.5% and 99.5% points along an axis without NaN; NaN where there is no number."""
    ordered = np.sort(values, axis=axis)
    if axis is None:
        ordered = ordered[np.isfinite(ordered)]
        return ordered[int(0.005 * (len(ordered) - 1))], ordered[int(np.ceil(0.995 * (len(ordered) - 1)))]
    count = np.isfinite(ordered).sum(axis=axis, keepdims=True)
    last = np.maximum(count - 1, 0)
    low = np.take_along_axis(ordered, (0.005 * last).astype(int), axis=axis)
    return low, np.take_along_axis(ordered, np.ceil(0.995 * last).astype(int), axis=axis)


def fold(values: NDArray[np.floating[Any]], height: int, signed: bool) -> NDArray[np.uint8]:
    """A horizon: ``values`` in folds (columns) as bytes (height, columns), bottom row first.

    The n-th fold of a value is drawn over the (n−1)-th from the bottom. Bytes are places on a palette: its middle is
    0 and its ends are ±``FOLDS`` where ``signed``, else its beginning and end are 0 and ``FOLDS``; NaN is 0.
    """
    size = np.minimum(np.abs(np.nan_to_num(np.asarray(values, dtype=np.float64))), FOLDS)
    whole = np.minimum(np.floor(size), FOLDS - 1)
    seat = (np.arange(height) + 0.5) / height
    level = whole + (seat[:, None] < (size - whole)[None, :])
    level = np.where(size[None, :] > 0, level, 0)
    if signed:
        cells = 128 + np.sign(values)[None, :] * np.rint(level * 127 / FOLDS)
    else:
        cells = 1 + np.rint(level * 254 / FOLDS)
    return np.ascontiguousarray(np.where(np.isnan(values)[None, :], 0, cells).astype(np.uint8))


def quantiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``QUANTILES`` over filters of (columns, filters), by the nearest filter; NaN are left out."""
    ordered = np.sort(values, axis=1)
    last = np.maximum((~np.isnan(values)).sum(axis=1) - 1, 0)
    rows = np.arange(len(values))
    return np.stack([ordered[rows, np.rint(q * last).astype(int)] for q in QUANTILES], axis=1)


def areas(seats: NDArray[np.float64], height: int) -> NDArray[np.uint8]:
    """Nested areas between five places 0…1 (columns, 5) as bytes (height, columns), bottom row first."""
    row = (np.arange(height)[:, None] + 0.5) / height
    half = 0.5 / height
    low, lower, middle, upper, high = (seats[None, :, i] for i in range(5))
    with np.errstate(invalid="ignore"):
        inside = (row >= low - half) & (row <= high + half)
        box = (row >= lower - half) & (row <= upper + half)
        line = np.abs(row - middle) <= max(half, 0.02)
    cells = np.where(line, 255, np.where(box, 150, np.where(inside, 70, 1)))
    return np.ascontiguousarray(np.where(np.isnan(middle), 0, cells).astype(np.uint8))


def shares(cdf: NDArray[np.float32], thresholds: NDArray[np.float64], height: int) -> NDArray[np.uint8]:
    """Stacked shares of weights by |g/w|, small ratios below: ``cdf`` is (columns, threshold)."""
    order = np.argsort(thresholds)
    rising = np.maximum.accumulate(np.nan_to_num(cdf[:, order]), axis=1)
    row = (np.arange(height) + 0.5) / height
    place = np.stack([np.searchsorted(one, row) for one in rising], axis=1) if len(rising) else np.zeros((height, 0))
    sizes_ = np.log10(np.maximum(thresholds[order], 1e-4))
    seat = np.interp(np.arange(len(order) + 1), np.arange(len(order)), (sizes_ + 4) / 4)
    seat = np.where(np.arange(len(order) + 1) == len(order), 1.0, seat)
    cells = 1 + np.rint(254 * seat[place.astype(int)])
    missing = np.asarray(np.isnan(cdf).all(axis=1))
    return np.ascontiguousarray(np.where(missing[None, :], 0, cells).astype(np.uint8))


def middle(cdf: NDArray[np.float32], thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The smallest threshold that half of the weights stay under, for each column."""
    order = np.argsort(thresholds)
    reached = cdf[:, order] >= 0.5
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), len(order) - 1)
    return np.where(np.isnan(cdf).all(axis=1), np.nan, thresholds[order][first]).astype(np.float32)


__all__ = ["FOLDS", "QUANTILES", "QUANTILE_NAMES", "areas", "fold", "middle", "normalised", "quantiles", "shares"]
