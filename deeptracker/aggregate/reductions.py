"""Reductions as data: what is gathered from a piece, how two pieces combine, what the whole gives.

Array tier: NumPy only; the first axis is cut into bins and reduced. A *part* is what has to be kept of a piece so
that the whole can be told from its pieces in any cut; a *reduction* names its parts and finishes them. A new
statistic is a row of ``REDUCTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deeptracker.statistics import HISTOGRAM_EDGES

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """What is kept of a piece.

    Parameters
    ----------
    chunk : (values, missing) → one entry a bin; values are (bins, members, …), ``missing`` tells NaN, or is None
        where there is none.
    combine : (one, other) → the part of both together; associative, and commutative up to rounding.
    fill : the part of an empty piece.
    """

    chunk: Callable[[Array, Mask | None], Array]
    combine: Callable[[Array, Array], Array]
    fill: float


@dataclass(frozen=True, slots=True)
class Reduction:
    """A named result: the parts it needs, and what it makes of them."""

    name: str
    parts: tuple[str, ...]
    finalize: Callable[..., Array]


def _count(values: Array, missing: Mask | None) -> Array:
    if missing is None:
        return np.full((values.shape[0], *values.shape[2:]), float(values.shape[1]))
    return values.shape[1] - np.add.reduce(missing, axis=1, dtype=np.int32).astype(np.float64)


def _sum(values: Array, missing: Mask | None) -> Array:
    kept = values if missing is None else np.where(missing, values.dtype.type(0), values)
    return np.add.reduce(kept, axis=1, dtype=np.float64)


def _absolute(values: Array, missing: Mask | None) -> Array:
    return _sum(np.abs(values), missing)


def _square(values: Array, missing: Mask | None) -> Array:
    return _sum(np.square(values, dtype=np.float64), missing)


def _zeros(values: Array, missing: Mask | None) -> Array:
    return np.add.reduce(values == 0, axis=1, dtype=np.int32).astype(np.float64)


def _moments(values: Array, missing: Mask | None) -> Array:
    """Count, mean and sum of squares about the mean, stacked on a last axis of three."""
    count = _count(values, missing)
    mean = np.divide(_sum(values, missing), count, out=np.zeros_like(count), where=count > 0)
    return np.stack([count, mean, _square(values - mean[:, None], missing)], axis=-1)


def _min(values: Array, missing: Mask | None) -> Array:
    return np.fmin.reduce(values, axis=1)


def _max(values: Array, missing: Mask | None) -> Array:
    return np.fmax.reduce(values, axis=1)


def _histogram(values: Array, missing: Mask | None) -> Array:
    """Counts in the fixed signed-log bins, on a last axis: the mergeable sketch of quantiles."""
    edges = HISTOGRAM_EDGES[1:]
    place = np.searchsorted(edges, np.nan_to_num(values, posinf=np.nan, neginf=np.nan), side="right")
    place[~np.isfinite(values)] = len(HISTOGRAM_EDGES)
    out = np.zeros((values.shape[0], *values.shape[2:], len(HISTOGRAM_EDGES)))
    for number in range(len(HISTOGRAM_EDGES)):
        out[..., number] = np.add.reduce(place == number, axis=1)
    return out


def merge_moments(one: Array, other: Array) -> Array:
    """Moments of two pieces together (Chan, Golub & LeVeque 1983): no cancellation, whatever the means."""
    count = one[..., 0] + other[..., 0]
    step = other[..., 1] - one[..., 1]
    share = np.divide(other[..., 0], count, out=np.zeros_like(count), where=count > 0)
    mean = one[..., 1] + step * share
    return np.stack([count, mean, one[..., 2] + other[..., 2] + step**2 * one[..., 0] * share], axis=-1)


def _over(top: Array, bottom: Array) -> Array:
    """Quotient; NaN where the denominator is zero."""
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)


PARTS: dict[str, Part] = {
    "count": Part(_count, np.add, 0.0),
    "sum": Part(_sum, np.add, 0.0),
    "absolute": Part(_absolute, np.add, 0.0),
    "square": Part(_square, np.add, 0.0),
    "zeros": Part(_zeros, np.add, 0.0),
    "dot": Part(_sum, np.add, 0.0),
    "moments": Part(_moments, merge_moments, 0.0),
    "histogram": Part(_histogram, np.add, 0.0),
    "min": Part(_min, np.fmin, np.nan),
    "max": Part(_max, np.fmax, np.nan),
}
"""NaN counts nowhere. ``dot`` is a sum of products that the caller has formed."""

REDUCTIONS: dict[str, Reduction] = {
    row.name: row
    for row in (
        Reduction("count", ("count",), lambda count: count),
        Reduction("sum", ("count", "sum"), lambda count, total: np.where(count > 0, total, np.nan)),
        Reduction("min", ("min",), lambda low: low),
        Reduction("max", ("max",), lambda high: high),
        Reduction("mean", ("count", "sum"), lambda count, total: _over(total, count)),
        Reduction("std", ("moments",), lambda m: np.sqrt(_over(m[..., 2], m[..., 0]))),
        Reduction("norm1", ("count", "absolute"), lambda count, total: np.where(count > 0, total, np.nan)),
        Reduction("norm2", ("count", "square"), lambda count, total: np.where(count > 0, np.sqrt(total), np.nan)),
        Reduction("rms", ("count", "square"), lambda count, total: np.sqrt(_over(total, count))),
        Reduction("zero_fraction", ("count", "zeros"), lambda count, zeros: _over(zeros, count)),
    )
}
"""Over nothing but NaN every reduction is NaN, except ``count``."""


def chunk(values: npt.NDArray[np.floating], size: int, names: tuple[str, ...]) -> dict[str, Array]:
    """Parts that the reductions ``names`` need of each bin of ``size`` rows of ``values``; the last may be partial.

    Extremes keep the precision of ``values``, in which they are exact; what adds up does so in float64.
    """
    bins = -(-len(values) // size)
    if len(values) % size:
        padded = np.full((bins * size, *values.shape[1:]), np.nan, values.dtype)
        padded[: len(values)] = values
        values = padded
    pieces = values.reshape(bins, size, *values.shape[1:])
    missing: Mask | None = np.isnan(pieces)
    if not np.any(missing):
        missing = None
    needed = dict.fromkeys(part for name in names for part in REDUCTIONS[name].parts)
    with np.errstate(invalid="ignore", over="ignore"):
        return {part: PARTS[part].chunk(pieces, missing) for part in needed}  # type: ignore[arg-type]


def combine(one: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, Array]:
    """Parts of two pieces together, bin by bin."""
    with np.errstate(invalid="ignore"):
        return {part: PARTS[part].combine(one[part], other[part]) for part in one}


def coarsen(parts: Mapping[str, Array], factor: int) -> dict[str, Array]:
    """Parts of bins ``factor`` times as long; the last may be partial."""
    out = {}
    with np.errstate(invalid="ignore"):
        for name, values in parts.items():
            length = -(-len(values) // factor)
            padded = np.full((length * factor, *values.shape[1:]), PARTS[name].fill, values.dtype)
            padded[: len(values)] = values
            pieces = padded.reshape(length, factor, *values.shape[1:])
            whole = pieces[:, 0]
            for place in range(1, factor):
                whole = PARTS[name].combine(whole, pieces[:, place])
            out[name] = whole
    return out


def finalize(parts: Mapping[str, Array], name: str) -> Array:
    """The result of one reduction."""
    row = REDUCTIONS[name]
    with np.errstate(invalid="ignore"):
        return row.finalize(*(parts[part] for part in row.parts))


__all__ = ["PARTS", "REDUCTIONS", "Part", "Reduction", "chunk", "coarsen", "combine", "finalize", "merge_moments"]
