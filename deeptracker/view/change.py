"""What changed: a statistic against its usual level, so that the usual decay and steps of a training vanish."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 50
FLOOR = -60.0
LEARNING_RATE_STEP = 0.2

Floats = NDArray[np.float32]


def learning_rate_steps(run: Any) -> NDArray[np.int64]:
    """Iterations at which the first learning rate jumps: |Δ log η| > 0.2 in one record (none where unknown)."""
    if not run.has("scalars"):
        return np.zeros(0, np.int64)
    scalars = run.dataset("scalars")
    if "learning_rate" not in scalars or scalars.sizes.get("param_group", 0) == 0:
        return np.zeros(0, np.int64)
    rate = np.asarray(scalars["learning_rate"].isel(param_group=0).values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        jump = np.abs(np.diff(np.log(np.where(rate > 0, rate, np.nan)))) > LEARNING_RATE_STEP
    steps: NDArray[np.int64] = np.asarray(scalars["iteration"].values, dtype=np.int64)[1:][jump]
    return steps


def running_median(values: Floats, window: int, cuts: NDArray[Any] | None = None) -> Floats:
    """Median over a centred window of rows, per column, never across a cut; NaN are left out.

    Parameters
    ----------
    values : (rows, columns).
    window : rows; medians are taken at knots a quarter of it apart and joined by straight lines.
    cuts : rows at which a new piece begins.
    """
    result = np.empty_like(values, dtype=np.float32)
    borders = [0, *(int(cut) for cut in (cuts if cuts is not None else ())), len(values)]
    for start, stop in itertools.pairwise(borders):
        if stop > start:
            result[start:stop] = _piece(values[start:stop], window)
    return result


def _piece(values: Floats, window: int) -> Floats:
    rows = len(values)
    window = min(window, rows)
    knots = np.unique(np.linspace(0, rows - 1, max(2, 4 * rows // window + 1)).astype(int))
    medians = np.stack([_median(values[_around(knot, window, rows)]) for knot in knots])
    place = np.interp(np.arange(rows), knots, np.arange(len(knots)))
    low = np.minimum(place.astype(int), len(knots) - 1)
    high = np.minimum(low + 1, len(knots) - 1)
    part = (place - low).astype(np.float32)[:, None]
    joined: Floats = (medians[low] * (1 - part) + medians[high] * part).astype(np.float32)
    return joined


def _around(knot: int, window: int, rows: int) -> slice:
    start = int(np.clip(knot - window // 2, 0, rows - window))
    return slice(start, start + window)


def _median(values: Floats) -> Floats:
    """Median over rows without NaN; a column of nothing but NaN gives NaN, without a warning."""
    if not np.isnan(values).any():
        return np.median(values, axis=0).astype(np.float32)
    ordered = np.sort(values, axis=0)
    count = (~np.isnan(values)).sum(axis=0)
    middle = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1)])
    picked = np.take_along_axis(ordered, middle, axis=0).mean(axis=0)
    return np.where(count > 0, picked, np.nan).astype(np.float32)


def is_positive(values: Any) -> bool:
    """Whether a statistic is a size (never below zero), so that ratios of it mean something."""
    finite = np.asarray(values)[np.isfinite(values)]
    return bool(finite.size and finite.min() >= 0)


def reference(mean: Floats, iteration: NDArray[np.int64], cuts: NDArray[np.int64], positive: bool) -> Floats:
    """The usual level of each filter, of log₂ where ``positive``, of the values otherwise; (rows, filters).

    It is the running median of the layer's median filter (a quarter of the rows wide, never across a step of the
    learning rate) plus the filter's own usual distance from it: the median over the run up to then. So
    neither the decay that all filters share nor a learning-rate step counts as change, and a filter that leaves its
    level is seen for as long as it stays away, until that has become its usual state.
    """
    values = _log(mean) if positive else mean.astype(np.float32)
    rows = np.unique(np.searchsorted(iteration, cuts))
    rows = rows[(rows > 4) & (rows < len(iteration) - 4)]
    common = _median(values.T)[:, None]
    usual = running_median(common, max(WINDOW, len(iteration) // 4), rows)
    return usual + trailing_median(values - common, len(iteration))


def trailing_median(values: Floats, window: int) -> Floats:
    """Median over the ``window`` rows up to each row, per column; the first ``WINDOW`` rows share theirs."""
    rows = len(values)
    knots = np.unique(np.r_[np.arange(min(WINDOW, rows), rows, max(1, window // 12)), rows])
    medians = np.stack([_median(values[max(0, knot - window) : knot]) for knot in knots])
    return np.asarray(medians[np.maximum(np.searchsorted(knots, np.arange(rows), side="right") - 1, 0)])


def against(values: Floats, median: Floats, positive: bool) -> Floats:
    """log₂(value / median), or, for signed statistics, (value − median) in robust spreads of each column."""
    if positive:
        return _log(values) - median
    rest = values - median
    spread = 1.4826 * _median(np.abs(rest))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, rest / spread, np.where(np.isnan(rest), np.nan, 0)).astype(np.float32)


def _log(values: Floats) -> Floats:
    """log₂; an exact zero becomes a floor far below every number, so that "went to zero" is the strongest fall."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.log2(values.astype(np.float32)), FLOOR).astype(np.float32)
