"""What changed: a statistic against its usual level, so that the usual decay and steps of a training vanish."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptracker.screen import read, sizes, variables

WINDOW = 50
SAMPLE = 100
FLOOR = -60.0
LEARNING_RATE_STEP = 0.2

EVERY = 1 << 40
"""Pixels of a screen that shows every record."""

Floats = NDArray[np.float32]


def learning_rate_steps(run: Any) -> NDArray[np.int64]:
    """Iterations at which the first learning rate jumps: |Δ log η| > 0.2 in one record (none where unknown)."""
    if not run.has("scalars"):
        return np.zeros(0, np.int64)
    if "learning_rate" not in variables(run, "scalars") or sizes(run, "scalars").get("param_group", 0) == 0:
        return np.zeros(0, np.int64)
    rates = read(run, "scalars", ["learning_rate"], pixels=EVERY, select={"param_group": slice(0, 1)})
    rate = np.asarray(rates["learning_rate"].values[0, :, 0], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        jump = np.abs(np.diff(np.log(np.where(rate > 0, rate, np.nan)))) > LEARNING_RATE_STEP
    steps: NDArray[np.int64] = np.asarray(rates["iteration"].values, dtype=np.int64)[1:][jump]
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
    holes = np.isnan(values).any(axis=0)
    if not holes.any():
        return np.median(values, axis=0).astype(np.float32)
    result = np.empty(values.shape[1], np.float32)
    result[~holes] = np.median(values[:, ~holes], axis=0) if not holes.all() else 0
    ordered = np.sort(values[:, holes], axis=0)
    count = (~np.isnan(ordered)).sum(axis=0)
    middle = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1)])
    picked = np.take_along_axis(ordered, middle, axis=0).mean(axis=0)
    result[holes] = np.where(count > 0, picked, np.nan)
    return result


def is_positive(values: Any) -> bool:
    """Whether a statistic is a size (never below zero), so that ratios of it mean something."""
    finite = np.asarray(values)[np.isfinite(values)]
    return bool(finite.size and finite.min() >= 0)


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual level of each filter of a layer over a whole run.

    ``level`` (rows, filters) holds from its ``iteration`` until the next one, of log₂ where ``positive``, of the
    values otherwise; ``spread`` (filters) is the robust deviation of signed statistics from it.
    """

    iteration: NDArray[np.int64]
    level: Floats
    spread: Floats
    cuts: NDArray[np.int64]
    positive: bool

    def change(self, values: Floats, iteration: NDArray[np.int64]) -> Floats:
        """log₂(value / usual), or (value − usual) in spreads for signed statistics; shapes (rows, filters)."""
        row = np.maximum(np.searchsorted(self.iteration, iteration, side="right") - 1, 0)
        stepped = np.searchsorted(self.cuts, iteration, side="right") > np.searchsorted(
            self.cuts, self.iteration[row], side="right"
        )
        level = self.level[np.minimum(row + stepped, len(self.level) - 1)]  # past a cut, the level after it
        if self.positive:
            return _log(values) - level
        rest = values - level
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(self.spread > 0, rest / self.spread, np.where(np.isnan(rest), np.nan, 0))
        return np.asarray(ratio, dtype=np.float32)

    def thinned(self, rows: int) -> Usual:
        """The same with at most ``rows`` rows, to keep for other ranges of the same run."""
        step = max(1, -(-len(self.iteration) // rows))
        return replace(self, iteration=self.iteration[::step], level=self.level[::step].copy())


def usual(values: Floats, iteration: NDArray[np.int64], cuts: NDArray[np.int64], positive: bool) -> Usual:
    """What is usual for each filter of a layer, from all rows of a run.

    It is the running median of the layer's median filter (a quarter of the rows wide, never across a step of the
    learning rate) plus the filter's own usual distance from it: the median over the run up to then. So neither the
    decay that all filters share nor a learning-rate step counts as change, and a filter that leaves its level is seen
    for as long as it stays away, until that has become its usual state.

    Parameters
    ----------
    values : (rows, filters); NaN are left out.
    iteration : of the rows. cuts : iterations at which the learning rate steps.
    positive : the statistic is a size, so ratios mean something.
    """
    values = _log(values) if positive else values.astype(np.float32)
    rows = np.unique(np.searchsorted(iteration, cuts))
    rows = rows[(rows > 4) & (rows < len(iteration) - 4)]
    common = _median(values.T)[:, None]
    level = running_median(common, max(WINDOW, len(iteration) // 4), rows)
    level = level + trailing_median(values - common, len(iteration))
    spread = np.ones(values.shape[1], np.float32) if positive else 1.4826 * _median(np.abs(values - level))
    return Usual(iteration, level, spread, cuts, positive)


def trailing_median(values: Floats, window: int) -> Floats:
    """Median over the ``window`` rows up to each row, per column; the first ``WINDOW`` rows share theirs.

    Of long windows about ``SAMPLE`` rows, evenly spaced, are looked at.
    """
    rows = len(values)
    knots = np.unique(np.r_[np.arange(min(WINDOW, rows), rows, max(1, window // 12)), rows])
    starts = np.maximum(0, knots - window)
    medians = np.stack(
        [_median(values[a : b : max(1, (b - a) // SAMPLE)]) for a, b in zip(starts, knots, strict=True)]
    )
    return np.asarray(medians[np.maximum(np.searchsorted(knots, np.arange(rows), side="right") - 1, 0)])


def _log(values: Floats) -> Floats:
    """log₂; an exact zero becomes a floor far below every number, so that "went to zero" is the strongest fall."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.log2(values.astype(np.float32)), FLOOR).astype(np.float32)
