"""From accumulators to the named statistics of the data model; the same for filters and for layers.

One compiled pass over the rows: on a small net, forty NumPy calls a record would cost more than the training step.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from deeptracker.statistics.accumulate import GRADIENT

_MOMENTS = ("min", "max", "mean", "std", "norm1", "norm2", "rms", "zero_fraction")
NAMES = (
    *(f"w_{short}" for short in _MOMENTS),
    *(f"g_{short}" for short in _MOMENTS),
    "grad_ratio1", "grad_ratio2", "update_norm1", "update_norm2", "update_ratio1", "update_ratio2", "update_cosine",
    "update_angle", "rotation_from_init",
)  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom != 0 else np.nan  # a zero denominator gives NaN, not an epsilon


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _angle(distance_square: float, norm: float, other: float) -> float:
    # sin²(θ/2) = (‖a − b‖² − (‖a‖ − ‖b‖)²) / (4‖a‖‖b‖): right to 1e-5 rad for norms within a factor of 100, where
    # arccos of a float32 cosine is noise.
    sine_square = _ratio(distance_square - (norm - other) ** 2, 4 * norm * other)
    if np.isnan(sine_square):
        return np.nan
    return 2 * np.arcsin(np.sqrt(min(max(sine_square, 0.0), 1.0)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _moments(parts: Any, out: Any, row: int) -> None:
    count, total, norm1, square, low, high, zeros, nonfinite = (
        parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], parts[7],
    )  # fmt: skip
    mean = _ratio(total, count)
    some = count > 0
    out[0, row] = low
    out[1, row] = high
    out[2, row] = mean
    out[3, row] = np.sqrt(max(_ratio(square, count) - mean * mean, 0.0)) if some else np.nan
    out[4, row] = norm1 if some else np.nan
    out[5, row] = np.sqrt(square) if some else np.nan
    out[6, row] = np.sqrt(_ratio(square, count))
    out[7, row] = _ratio(zeros, count + nonfinite)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _have_common(w: Any) -> bool:
    # Whether any weight is finite on both sides: without one all sums of changes are zero, but ‖w‖ is not.
    return w[0] > 0 and not (w[9] == 0 and w[11] == 0 and w[3] > 0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _norm_beside_previous(w: Any) -> float:
    # Changes are of the weights that are finite on both sides. Where a previous one was not, ‖w‖ of the others
    # follows from ‖Δw‖² = ‖w‖² + ‖w_prev‖² − 2 w·w_prev, as precisely as the lengths are alike; 1e-13 is far above
    # what rounding does to these sums.
    shared = w[11] - w[9] + 2 * w[12]
    return np.sqrt(max(shared, 0.0)) if w[3] - shared > 1e-13 * (w[3] + w[9] + w[11]) else np.sqrt(w[3])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _derive(weights: Any, gradients: Any, has_previous: bool, out: Any, nonfinite: Any) -> None:
    for row in range(len(weights)):
        w, g = weights[row], gradients[row]
        _moments(w, out[:8], row)
        _moments(g, out[8:16], row)
        norm = np.sqrt(w[3])
        out[16, row] = _ratio(g[2], w[2]) if g[0] > 0 else np.nan
        out[17, row] = _ratio(np.sqrt(g[3]), norm) if g[0] > 0 else np.nan
        for k in range(18, 24):
            out[k, row] = np.nan
        if has_previous and _have_common(w):
            update, previous = np.sqrt(w[11]), np.sqrt(w[9])
            now = _norm_beside_previous(w)
            out[18, row] = w[10]
            out[19, row] = update
            out[20, row] = _ratio(w[10], w[8])
            out[21, row] = _ratio(update, previous)
            cosine = _ratio(w[12], now * previous)
            out[22, row] = cosine if np.isnan(cosine) else min(max(cosine, -1.0), 1.0)
            out[23, row] = _angle(w[11], now, previous)
        out[24, row] = _angle(w[14], norm, np.sqrt(w[13]))
        nonfinite[row] = w[7] + g[7]


def derive(
    weights: npt.NDArray[np.float64], gradients: npt.NDArray[np.float64] | None, *, has_previous: bool = True
) -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int32]]:
    """The standard set of statistics (``methods`` §1), one value a row of accumulators.

    Parameters
    ----------
    weights : (rows, len(WEIGHT)) float64.
    gradients : (rows, len(GRADIENT)) float64, or None where there were none: all ``g_*`` are NaN.
    has_previous : False at the first record and after a resume: everything about Δw is NaN.

    Returns
    -------
    name → (rows,) float32; ``nonfinite`` int32. NaN where a denominator is zero or nothing is finite. ``*_std`` is
    right to 1e-7 of ``*_rms``.
    """
    if gradients is None:
        gradients = no_gradients(len(weights))
    out = np.empty((len(NAMES), len(weights)), np.float32)
    nonfinite = np.empty(len(weights), np.int32)
    _derive(weights, gradients, has_previous, out, nonfinite)
    named: dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int32]] = dict(zip(NAMES, out, strict=True))
    named["nonfinite"] = nonfinite
    return named


def no_gradients(rows: int) -> npt.NDArray[np.float64]:
    """Accumulators of rows that have no gradient (frozen, not read): NaN, of no values."""
    parts = np.full((rows, len(GRADIENT)), np.nan)
    parts[:, [GRADIENT.index("count"), GRADIENT.index("nonfinite")]] = 0
    return parts
