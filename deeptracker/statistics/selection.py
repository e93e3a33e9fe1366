"""Exact quartiles of rows: counting tells the bin in which each lies, and only what is in that bin gets sorted.

Short rows are sorted whole, which vector instructions do faster; so are rows with non-finite values, and rows whose
values crowd into one bin (many zeros, one huge value).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from deeptracker.statistics.accumulate import block_extremes

_LARGEST = np.float32(np.finfo(np.float32).max)
_SHORT = 512  # values of a row below which it is sorted
_SORTED = 1 << 16  # values sorted at a time, so that they stay in the second-level cache
_PER_BIN = 4  # values a bin, were they spread evenly
_BINS = 1024  # at most
_CROWD = 64  # more values in a bin are not worth an insertion sort


def quartiles(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """First quartile, median and third quartile of each row's finite values, interpolated linearly.

    ``values`` is rows × weights; returns 3 × rows, NaN where a row has no finite value.
    """
    out = np.full((3, len(values)), np.nan, np.float32)
    if not values.size:
        return out
    if values.shape[1] < _SHORT:
        _sort(values, out)
        return out
    left = np.ones(len(values), np.bool_)
    _select(np.ascontiguousarray(values, np.float32), left, out)
    if left.any():
        sorted_out = np.full((3, int(left.sum())), np.nan, np.float32)
        _sort(values[left], sorted_out)
        out[:, left] = sorted_out
    return out


def _sort(values: npt.NDArray[np.float32], out: npt.NDArray[np.float32]) -> None:
    block = max(1, _SORTED // values.shape[1])
    for start in range(0, len(values), block):
        _pick(np.sort(values[start : start + block], axis=1), out[:, start : start + block])


@numba.njit(cache=True, nogil=True)
def _pick(rows: Any, out: Any) -> None:
    # Rows are sorted: −Inf comes first, +Inf and then NaN last.
    for row in range(len(rows)):
        first, last = 0, rows.shape[1] - 1
        while first <= last and rows[row, first] < -_LARGEST:
            first += 1
        while last >= first and not rows[row, last] <= _LARGEST:
            last -= 1
        for k in range(3 if first <= last else 0):
            place = first + 0.25 * (k + 1) * (last - first)
            below = int(place)
            low, high = np.float64(rows[row, below]), np.float64(rows[row, min(below + 1, last)])
            out[k, row] = low + (high - low) * (place - below)


@numba.njit(cache=True, nogil=True)
def _put_in_bins(values: Any, low: Any, scale: Any, bins: Any) -> None:
    # Rounding keeps the order: a larger value never comes into a lower bin.
    for i in range(values.size):
        bins[i] = np.int32((values[i] - low) * scale)


@numba.njit(cache=True, nogil=True)
def _count(bins: Any, counts: Any) -> None:
    for k in range(counts.size):
        counts[k] = 0
    for i in range(bins.size):
        counts[bins[i]] += 1


@numba.njit(cache=True, nogil=True)
def _find_bins(counts: Any, size: int, found: Any) -> bool:
    # For each quartile: its bin, the bin of the next value up, and how many values lie below; False: a crowd.
    k, below = 0, 0
    for q in range(3):
        rank = (q + 1) * (size - 1) // 4
        while below + counts[k] <= rank:
            below += counts[k]
            k += 1
        end, reached = k, below + counts[k]
        while reached <= min(rank + 1, size - 1):
            end += 1
            reached += counts[end]
        if reached - below > _CROWD:
            return False
        found[q, 0], found[q, 1], found[q, 2] = k, end, below
    return True


@numba.njit(cache=True, nogil=True)
def _gather(values: Any, bins: Any, wanted: Any, kept: Any, sizes: Any) -> None:
    for i in range(values.size):
        mark = wanted[bins[i]]
        if mark:
            for q in range(3):
                if mark & (1 << q):
                    kept[q, sizes[q]] = values[i]
                    sizes[q] += 1


@numba.njit(cache=True, nogil=True)
def _insertion_sort(values: Any) -> None:
    for i in range(1, values.size):
        x, k = values[i], i
        while k > 0 and values[k - 1] > x:
            values[k] = values[k - 1]
            k -= 1
        values[k] = x


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _select(values: Any, left: Any, out: Any) -> None:
    # Fills ``out`` for the rows that it can do, and takes them off ``left``.
    size = values.shape[1]
    most = min(size // _PER_BIN, _BINS)
    bins, counts, wanted = np.empty(size, np.int32), np.empty(most + 1, np.int32), np.zeros(most + 1, np.uint8)
    kept, sizes, found = np.empty((3, _CROWD), np.float32), np.empty(3, np.int64), np.empty((3, 3), np.int64)
    bits, ends = values.view(np.int32), np.empty(2, np.float32)
    for row in range(len(values)):
        mine = values[row]
        block_extremes(bits[row], ends)
        scale = np.float32(np.float32(most) / np.float32(ends[1] - ends[0]))
        # Neither NaN nor a range beyond float32, nor one so narrow that its inverse is.
        if not (ends[1] - ends[0] <= _LARGEST and scale <= _LARGEST):
            continue
        _put_in_bins(mine, ends[0], scale, bins)
        _count(bins, counts)
        if not _find_bins(counts, size, found):
            continue
        for q in range(3):
            sizes[q] = 0
            wanted[found[q, 0]] |= 1 << q
            wanted[found[q, 1]] |= 1 << q
        _gather(mine, bins, wanted, kept, sizes)
        for q in range(3):
            wanted[found[q, 0]] = wanted[found[q, 1]] = 0
            _insertion_sort(kept[q, : sizes[q]])
            place = 0.25 * (q + 1) * (size - 1)
            below = int(place)
            at = below - found[q, 2]
            low, high = np.float64(kept[q, at]), np.float64(kept[q, min(at + 1, sizes[q] - 1)])
            out[q, row] = low + (high - low) * (place - below)
        left[row] = False


__all__ = ["quartiles"]
