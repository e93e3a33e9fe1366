"""Numba kernels: one row of float64 accumulators per filter, from one pass over float32 parameters.

Rows are read in blocks that stay in the first-level cache while two loops go over them, each simple enough for the
compiler to turn into vector instructions. The first widens to float64 and sums; it reads all arrays side by side,
which is what memory is fastest at. The second looks for extremes and zeros, comparing bits as integers (floats that
may be NaN do not vectorise), and refreshes the previous weights. ``fastmath`` is limited to re-association: a
non-finite value in a block still shows in its sums, and only then is the block summed again, from copies with zeros
in the place of what is left out. Compiled code is cached on disk; nothing here starts threads.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

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

_BLOCK = 1024  # values: 4 KiB of each of three arrays
_FLAGS = {"reassoc", "nsz", "contract"}
_MAGNITUDE = np.int32(0x7FFFFFFF)  # all bits but the sign
_INFINITE = np.int32(0x7F800000)  # bits of +Inf; those of NaN are above
_LOWEST, _HIGHEST = np.int32(-(2**31)), np.int32(2**31 - 1)


@numba.njit(cache=True, nogil=True, fastmath=_FLAGS)
def _sum_gradients(values: Any, sums: Any) -> None:
    total, absolute, square = 0.0, 0.0, 0.0
    for i in range(values.size):
        v = np.float64(values[i])
        total += v
        absolute += abs(v)
        square += v * v
    sums[0], sums[1], sums[2] = total, absolute, square


@numba.njit(cache=True, nogil=True, fastmath=_FLAGS)
def _sum_weights(values: Any, previous: Any, initial: Any, sums: Any) -> None:
    total, absolute, square = 0.0, 0.0, 0.0
    prev1, prev2, update1, update2, dot, init2, drift2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(values.size):
        w, p, z = np.float64(values[i]), np.float64(previous[i]), np.float64(initial[i])
        update, drift = w - p, w - z
        total += w
        absolute += abs(w)
        square += w * w
        prev1 += abs(p)
        prev2 += p * p
        update1 += abs(update)
        update2 += update * update
        dot += w * p
        init2 += z * z
        drift2 += drift * drift
    sums[0], sums[1], sums[2] = total, absolute, square
    sums[3], sums[4], sums[5], sums[6], sums[7], sums[8], sums[9] = prev1, prev2, update1, update2, dot, init2, drift2


@numba.njit(cache=True, nogil=True, inline="always")
def _key(bits: Any) -> Any:
    # An integer that rises with the float: among negative ones, magnitudes count down. Its own inverse.
    return np.int32(bits ^ ((bits >> 31) & _MAGNITUDE))


@numba.njit(cache=True, nogil=True)
def _extremes(bits: Any) -> Any:
    zeros, low, high = np.int32(0), _HIGHEST, _LOWEST
    for i in range(bits.size):
        zeros = np.int32(zeros + np.int32(np.int32(bits[i] & _MAGNITUDE) == 0))
        low, high = min(low, _key(bits[i])), max(high, _key(bits[i]))
    return low, high, zeros


@numba.njit(cache=True, nogil=True)
def block_extremes(bits: Any, out: Any) -> None:
    """Extremes of values given as bits (int32), into ``out`` (2, float32); NaN lies beyond the Inf of its sign."""
    low, high, _ = _extremes(bits)
    keys = out.view(np.int32)
    keys[0], keys[1] = _key(low), _key(high)


@numba.njit(cache=True, nogil=True)
def _extremes_and_keep(bits: Any, kept: Any) -> Any:
    zeros, low, high = np.int32(0), _HIGHEST, _LOWEST
    for i in range(bits.size):
        zeros = np.int32(zeros + np.int32(np.int32(bits[i] & _MAGNITUDE) == 0))
        low, high = min(low, _key(bits[i])), max(high, _key(bits[i]))
        kept[i] = bits[i]
    return low, high, zeros


@numba.njit(cache=True, nogil=True)
def _finite_extremes(bits: Any) -> Any:
    finite, low, high = 0, _HIGHEST, _LOWEST
    for i in range(bits.size):
        if np.int32(bits[i] & _MAGNITUDE) < _INFINITE:
            finite += 1
            low, high = min(low, _key(bits[i])), max(high, _key(bits[i]))
    return low, high, finite


@numba.njit(cache=True, nogil=True)
def _common(bits: Any, other: Any, spare: Any) -> None:
    # Copies, with zeros where either is not finite: they add nothing to any sum.
    for i in range(bits.size):
        finite = max(np.int32(bits[i] & _MAGNITUDE), np.int32(other[i] & _MAGNITUDE)) < _INFINITE
        spare[0, i] = bits[i] if finite else np.int32(0)
        spare[1, i] = other[i] if finite else np.int32(0)


@numba.njit(cache=True, nogil=True)
def _add_block(extremes: Any, finite: Any, size: Any, spare: Any, out: Any) -> None:
    low, high, zeros = extremes
    out[0] += finite
    out[6] += zeros
    out[7] += size - finite
    spare[0, 0], spare[0, 1] = _key(low), _key(high)
    if finite > 0:
        floats = spare.view(np.float32)
        out[4], out[5] = min(out[4], floats[0, 0]), max(out[5], floats[0, 1])


@numba.njit(cache=True, nogil=True)
def _start(out: Any) -> None:
    for k in range(out.size):
        out[k] = 0.0
    out[4], out[5] = np.inf, -np.inf


@numba.njit(cache=True, nogil=True)
def _close(out: Any) -> None:
    if out[0] == 0:
        out[4], out[5] = np.nan, np.nan


@numba.njit(cache=True, nogil=True)
def accumulate_gradients(gradients: Any, out: Any) -> None:
    """Fill ``out`` (filters × len(GRADIENT), float64) from ``gradients`` (filters × weights, float32, C-ordered)."""
    spare, sums = np.empty((2, _BLOCK), np.int32), np.empty(3)
    floats, bits = spare.view(np.float32), gradients.view(np.int32)
    for row in range(gradients.shape[0]):
        mine = out[row]
        _start(mine)
        for start in range(0, gradients.shape[1], _BLOCK):
            stop = min(start + _BLOCK, gradients.shape[1])
            finite, g_bits = stop - start, bits[row, start:stop]
            _sum_gradients(gradients[row, start:stop], sums)
            low, high, zeros = _extremes(g_bits)
            if not sums[1] < np.inf:
                low, high, finite = _finite_extremes(g_bits)
                _common(g_bits, g_bits, spare)
                _sum_gradients(floats[0, : stop - start], sums)
            for k in range(3):
                mine[1 + k] += sums[k]
            _add_block((low, high, zeros), finite, stop - start, spare, mine)
        _close(mine)


@numba.njit(cache=True, nogil=True)
def accumulate_weights(weights: Any, previous: Any, initial: Any, out: Any) -> None:
    """Fill ``out`` (filters × len(WEIGHT), float64), and leave a copy of ``weights`` in ``previous``.

    All three inputs are filters × weights, float32, C-ordered. Changes are taken over the weights that are finite
    on both sides.
    """
    spare, sums, others = np.empty((2, _BLOCK), np.int32), np.empty(10), np.empty(10)
    floats = spare.view(np.float32)
    bits, previous_bits, initial_bits = weights.view(np.int32), previous.view(np.int32), initial.view(np.int32)
    for row in range(weights.shape[0]):
        mine = out[row]
        _start(mine)
        for start in range(0, weights.shape[1], _BLOCK):
            stop = min(start + _BLOCK, weights.shape[1])
            finite, w_bits, p_bits = stop - start, bits[row, start:stop], previous_bits[row, start:stop]
            _sum_weights(weights[row, start:stop], previous[row, start:stop], initial[row, start:stop], sums)
            whole = sums[1] < np.inf
            if not (whole and sums[3] < np.inf and sums[8] < np.inf):
                w, other = floats[0, : stop - start], floats[1, : stop - start]
                _common(w_bits, w_bits, spare)
                _sum_weights(w, w, w, sums)
                _common(w_bits, p_bits, spare)
                _sum_weights(w, other, other, others)
                for k in range(3, 8):
                    sums[k] = others[k]
                _common(w_bits, initial_bits[row, start:stop], spare)
                _sum_weights(w, other, other, others)
                sums[8], sums[9] = others[8], others[9]
            low, high, zeros = _extremes_and_keep(w_bits, p_bits)
            if not whole:
                low, high, finite = _finite_extremes(w_bits)
            for k in range(3):
                mine[1 + k] += sums[k]
            for k in range(3, 10):
                mine[5 + k] += sums[k]
            _add_block((low, high, zeros), finite, stop - start, spare, mine)
        _close(mine)
