"""Statistics that need whole distributions: quartiles, histograms, the change-ratio distribution, the stable rank.

They cost more than one pass and come on a schedule of their own (``full_every``).
"""

from __future__ import annotations

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


def quartiles(values: Float32) -> npt.NDArray[np.float32]:
    """First quartile, median and third quartile of each row's finite values.

    ``values`` is rows × weights; returns 3 × rows, NaN where a row has no finite value.
    """
    finite = np.where(np.isfinite(values), values, np.float32(np.nan))
    if np.isnan(finite).any():
        out = np.full((3, len(values)), np.nan, np.float32)
        for i, row in enumerate(finite):
            kept = row[~np.isnan(row)]
            if kept.size:
                out[:, i] = np.quantile(kept, (0.25, 0.5, 0.75))
        return out
    return np.quantile(finite, (0.25, 0.5, 0.75), axis=1).astype(np.float32)


def histogram(values: Float32) -> npt.NDArray[np.int32]:
    """Count of finite values in each bin of ``HISTOGRAM_EDGES``; a value on an edge falls to the bin above it."""
    flat = values.ravel()
    flat = flat[np.isfinite(flat)]
    place = np.searchsorted(HISTOGRAM_EDGES, flat, side="right") - 1
    return np.bincount(place, minlength=len(HISTOGRAM_EDGES)).astype(np.int32)


def change_ratio_cdf(weights: Float32, gradients: Float32) -> npt.NDArray[np.float32]:
    """Share of weights with |g/w| ≤ each of ``THRESHOLDS`` (Liu et al. 2018); the last entry: share with w = 0.

    Weights that are zero or not finite, or whose gradient is not finite, count in the denominator only.
    """
    w, g = weights.ravel().astype(np.float64), gradients.ravel().astype(np.float64)
    usable = np.isfinite(w) & np.isfinite(g) & (w != 0)
    ratio = np.sort(np.abs(g[usable] / w[usable]))
    share = np.searchsorted(ratio, THRESHOLDS, side="right") / w.size
    share[-1] = np.count_nonzero(w == 0) / w.size
    return share.astype(np.float32)


def stable_rank(weights: Float32, *, iterations: int = 30) -> float:
    """‖W‖_F² / ‖W‖₂² of rows × weights, the spectral norm by power iteration from a fixed start; NaN if W = 0."""
    matrix = np.nan_to_num(weights.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    vector: npt.NDArray[np.float64] = np.random.default_rng(0).standard_normal((matrix.shape[1],))
    square = 0.0
    for _ in range(iterations):
        product = np.dot(matrix.T, np.dot(matrix, vector))
        square = float(np.sqrt(product @ product))
        if square == 0:
            return float("nan")
        vector = product * (1 / square)
    return float(np.sum(matrix**2)) / square
