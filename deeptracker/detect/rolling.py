"""Medians of the past: for every record, the median of the records before it, within its segment and window."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@numba.njit(cache=True, nogil=True)
def _place(window: Any, size: int, value: float) -> int:
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if window[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True, nogil=True)
def _trailing_median(series: Any, starts: Any, length: int, least: int, out: Any) -> None:
    rows, records = series.shape
    window = np.empty(length + 1)
    for row in range(rows):
        size = 0
        first = 0  # oldest record that the window may hold
        for t in range(records):
            if starts[t] > first:
                first = starts[t]
                size = 0
                # Whatever lies before the segment is gone; nothing of the new segment came yet, but t - 1 may.
            if t - 1 >= first and t > 0:
                value = series[row, t - 1]
                if not np.isnan(value):
                    at = _place(window, size, value)
                    for i in range(size, at, -1):
                        window[i] = window[i - 1]
                    window[at] = value
                    size += 1
            if t - 1 - length >= first:
                value = series[row, t - 1 - length]
                if not np.isnan(value):
                    at = _place(window, size, value)
                    for i in range(at, size - 1):
                        window[i] = window[i + 1]
                    size -= 1
            if size < least:
                out[row, t] = np.nan
            elif size % 2:
                out[row, t] = window[size // 2]
            else:
                out[row, t] = 0.5 * (window[size // 2 - 1] + window[size // 2])


def trailing_median(series: Array, starts: npt.NDArray[np.int64], *, window: int, least: int) -> Array:
    """Median of the records before each record.

    Parameters
    ----------
    series : (rows, records) float64; NaN is left out.
    starts : (records,) first record of the segment that each record belongs to; the window never reaches past it.
    window, least : how many records back, and how many values there must be.

    Returns
    -------
    (rows, records) the median of ``series[:, max(starts[t], t − window) : t]``, NaN under ``least`` values.
    """
    out = np.empty_like(series)
    _trailing_median(np.ascontiguousarray(series), starts, window, least, out)
    return out
