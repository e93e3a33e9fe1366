"""Statistics that need whole distributions: histograms, the change-ratio distribution, the stable rank.

They cost more than one pass and come on a schedule of their own (``full_every``). A value's bin is looked up by the
upper half of its bits and then corrected by comparison: several times faster than a search, and exact.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

_DECADES = np.logspace(-8, 2, 41)
HISTOGRAM_EDGES: npt.NDArray[np.float64] = np.concatenate([[-np.inf], -_DECADES[::-1], [0.0], _DECADES])
"""Lower edge of each bin of the fixed signed-log histogram, four bins a decade from 1e-8 to 1e2."""

THRESHOLDS: npt.NDArray[np.float64] = np.concatenate(
    [[round(m * 10.0**e, 8) for e in range(-1, -7, -1) for m in range(10, 0, -1) if not (m == 10 and e < -1)], [0.0]]
)
"""Upper bounds of |g/w|: 1, 0.9 … 0.1, 0.09 … down to 1e-6, and 0 for the weights that are zero."""

_LARGEST = np.float32(np.finfo(np.float32).max)
_RISING = np.ascontiguousarray(THRESHOLDS[-2::-1])  # 1e-6 … 1


def _guesses(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    """For each upper half of a float32: the number of edges that the smallest value with these bits reaches."""
    values = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    finite = np.nan_to_num(values, nan=0.0)
    return (np.searchsorted(edges, finite.astype(np.float64), side="right")).astype(np.int16)


_HISTOGRAM_GUESS = _guesses(HISTOGRAM_EDGES)
_RATIO_GUESS = _guesses(_RISING)


@numba.njit(cache=True, nogil=True)
def _count_bins(values: Any, edges: Any, guess: Any, out: Any) -> None:
    bits = values.view(np.uint32)
    for i in range(values.size):
        x = values[i]
        if not abs(x) <= _LARGEST:
            continue
        place = guess[bits[i] >> 16]
        while place < edges.size and x >= edges[place]:
            place += 1
        while x < edges[place - 1]:
            place -= 1
        out[place - 1] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count_ratios(weights: Any, gradients: Any, edges: Any, guess: Any, out: Any) -> None:
    # out[k]: ratios that are at most edges[k] and above edges[k − 1]; the last but one: above all; the last: w = 0.
    ratios = np.empty(1, np.float32)
    bits = ratios.view(np.uint32)
    for i in range(weights.size):
        w, g = weights[i], gradients[i]
        if w == 0:
            out[edges.size + 1] += 1
        elif abs(w) <= _LARGEST and abs(g) <= _LARGEST:
            ratio = abs(np.float64(g) / np.float64(w))
            ratios[0] = ratio
            place = min(np.int64(guess[bits[0] >> 16]), edges.size)
            while place > 0 and ratio <= edges[place - 1]:
                place -= 1
            while place < edges.size and ratio > edges[place]:
                place += 1
            out[place] += 1


def histogram(values: Float32) -> npt.NDArray[np.int32]:
    """Count of finite values in each bin of ``HISTOGRAM_EDGES``; a value on an edge falls to the bin above it."""
    out = np.zeros(len(HISTOGRAM_EDGES), np.int32)
    _count_bins(np.ascontiguousarray(values).reshape(-1), HISTOGRAM_EDGES, _HISTOGRAM_GUESS, out)
    return out


def histogram_quartiles(counts: npt.NDArray[np.int32], low: float, high: float) -> npt.NDArray[np.float32]:
    """First quartile, median and third quartile read off a histogram of ``HISTOGRAM_EDGES``, linear within a bin.

    Each lies in the bin of the true quantile (the smallest value that at least a quarter, half, three quarters of all
    do not exceed), so it is wrong by less than the bin's width: a factor of 1.78 between 1e-8 and 1e2, 1e-8 around
    zero. ``low`` and ``high``, the extremes, close the outermost bins. NaN of nothing.
    """
    total = int(counts.sum())
    if not total:
        return np.full(3, np.nan, np.float32)
    edges = np.clip(np.append(HISTOGRAM_EDGES, np.inf), low, high)
    reached = np.concatenate([[0], np.cumsum(counts)])
    wanted = np.array([0.25, 0.5, 0.75]) * total
    place = np.searchsorted(reached[1:], wanted)
    share = (wanted - reached[place]) / counts[place]
    return (edges[place] * (1 - share) + edges[place + 1] * share).astype(np.float32)


def change_ratio_cdf(weights: Float32, gradients: Float32) -> npt.NDArray[np.float32]:
    """Share of weights with |g/w| ≤ each of ``THRESHOLDS`` (Liu et al. 2018); the last entry: share with w = 0.

    Weights that are zero or not finite, or whose gradient is not finite, count in the denominator only.
    """
    counts = np.zeros(len(_RISING) + 2, np.int64)
    w, g = np.ascontiguousarray(weights).reshape(-1), np.ascontiguousarray(gradients).reshape(-1)
    _count_ratios(w, g, _RISING, _RATIO_GUESS, counts)
    share = np.append(np.cumsum(counts[: len(_RISING)])[::-1], counts[-1]) / w.size
    return share.astype(np.float32)


def stable_rank(weights: Float32, *, iterations: int = 30) -> float:
    """‖W‖_F² / ‖W‖₂² of rows × weights, the spectral norm by power iteration from a fixed start; NaN if W = 0."""
    matrix = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
    vector = np.random.default_rng(0).standard_normal(matrix.shape[1], np.float32)
    square = 0.0
    for _ in range(iterations):
        product = np.dot(matrix.T, np.dot(matrix, vector))
        square = float(np.sqrt(np.sum(product.astype(np.float64) ** 2)))
        if square == 0:
            return float("nan")
        vector = product * np.float32(1 / square)
    return float(np.sum(matrix.astype(np.float64) ** 2)) / square
