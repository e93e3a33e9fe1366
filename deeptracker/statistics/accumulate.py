"""Numba kernels: one row of float64 accumulators per filter, from one pass over float32 parameters.

Each kernel reads every array once, as it lies in memory. Non-finite values are found by comparison with the largest
float32 (so ``fastmath`` is limited to re-association, which lets the sums vectorise and leaves NaN tests alone).
Compiled code is cached on disk; nothing here starts threads.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Names of the columns. ``merge.LAWS`` says how each combines.
MOMENTS = ("count", "sum", "norm1", "square", "min", "max", "zeros", "nonfinite")
GRADIENT = MOMENTS
WEIGHT = (
    *MOMENTS,
    "prev_norm1",
    "prev_square",
    "update_norm1",
    "update_square",
    "dot_prev",
    "init_square",
    "drift_square",
)

_LARGEST = np.float32(np.finfo(np.float32).max)
_FLAGS = {"reassoc", "nsz", "contract"}


@numba.njit(cache=True, nogil=True, fastmath=_FLAGS, error_model="numpy")
def _moments(values: Any, out: Any) -> None:
    total = 0.0
    absolute = 0.0
    square = 0.0
    zeros = 0
    finite = 0
    low = np.inf
    high = -np.inf
    for i in range(values.size):
        x = values[i]
        ok = abs(x) <= _LARGEST
        v = np.float64(x) if ok else 0.0
        finite += 1 if ok else 0
        zeros += 1 if x == 0 else 0
        total += v
        absolute += abs(v)
        square += v * v
        low = v if ok and v < low else low
        high = v if ok and v > high else high
    out[0] = finite
    out[1] = total
    out[2] = absolute
    out[3] = square
    out[4] = low if finite else np.nan
    out[5] = high if finite else np.nan
    out[6] = zeros
    out[7] = values.size - finite


@numba.njit(cache=True, nogil=True, fastmath=_FLAGS, error_model="numpy")
def _changes(values: Any, previous: Any, initial: Any, out: Any) -> None:
    prev1 = 0.0
    prev2 = 0.0
    update1 = 0.0
    update2 = 0.0
    dot = 0.0
    init2 = 0.0
    drift2 = 0.0
    for i in range(values.size):
        w = np.float64(values[i])
        p = np.float64(previous[i])
        z = np.float64(initial[i])
        ok = abs(w) <= _LARGEST and abs(p) <= _LARGEST
        w_ok = w if ok else 0.0
        p_ok = p if ok else 0.0
        d = w_ok - p_ok
        prev1 += abs(p_ok)
        prev2 += p_ok * p_ok
        update1 += abs(d)
        update2 += d * d
        dot += w_ok * p_ok
        ok = abs(w) <= _LARGEST and abs(z) <= _LARGEST
        z_ok = z if ok else 0.0
        e = w - z if ok else 0.0
        init2 += z_ok * z_ok
        drift2 += e * e
        previous[i] = values[i]
    out[8] = prev1
    out[9] = prev2
    out[10] = update1
    out[11] = update2
    out[12] = dot
    out[13] = init2
    out[14] = drift2


@numba.njit(cache=True, nogil=True)
def accumulate_gradients(gradients: Any, out: Any) -> None:
    """Fill ``out`` (filters × len(GRADIENT), float64) from ``gradients`` (filters × weights, float32)."""
    for row in range(gradients.shape[0]):
        _moments(gradients[row], out[row])


@numba.njit(cache=True, nogil=True)
def accumulate_weights(weights: Any, previous: Any, initial: Any, out: Any) -> None:
    """Fill ``out`` (filters × len(WEIGHT), float64), and leave a copy of ``weights`` in ``previous``.

    All three inputs are filters × weights, float32, C-ordered. Changes are taken over the weights that are finite
    on both sides.
    """
    for row in range(weights.shape[0]):
        _moments(weights[row], out[row])
        _changes(weights[row], previous[row], initial[row], out[row])


def warm_up() -> None:
    """Compile now rather than within the first training step (2–3 s, once a machine)."""
    tiny = np.zeros((1, 1), np.float32)
    accumulate_gradients(tiny, np.empty((1, len(GRADIENT))))
    accumulate_weights(tiny, tiny.copy(), tiny, np.empty((1, len(WEIGHT))))
