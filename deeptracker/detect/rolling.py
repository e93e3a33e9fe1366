"""Medians of the past: for every record, the median of the records before it, within its segment and window.

Values are replaced by their ranks in the whole row, and the window is a set of ranks, one bit each. A record enters
or leaves by one bit, and the median moves by at most one place: what a record costs does not depend on the window.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# The top six bits of a word's only bit times a de Bruijn sequence tell its place (Leiserson et al. 1998).
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_PLACES = np.zeros(64, np.int64)
for _place in range(64):
    _PLACES[((int(_DE_BRUIJN) << _place) & 0xFFFF_FFFF_FFFF_FFFF) >> 58] = _place
_ONE, _SIX = np.uint64(1), np.uint64(58)


@numba.njit(cache=True, nogil=True, inline="always")
def _lowest(word: Any) -> Any:
    """Place of the lowest bit of a word that has one."""
    return _PLACES[((word & (~word + _ONE)) * _DE_BRUIJN) >> _SIX]


@numba.njit(cache=True, nogil=True, inline="always")
def _highest(word: Any) -> Any:
    """Place of the highest bit of a word that has one."""
    for shift in (1, 2, 4, 8, 16, 32):
        word |= word >> np.uint64(shift)
    return _PLACES[((word ^ (word >> _ONE)) * _DE_BRUIJN) >> _SIX]


@numba.njit(cache=True, nogil=True, inline="always")
def _next(words: Any, rank: Any) -> Any:
    """The next rank in the set past ``rank``; there must be one."""
    at = (rank + 1) >> 6
    word = words[at] & (~np.uint64(0) << np.uint64((rank + 1) & 63))
    while word == 0:
        at += 1
        word = words[at]
    return (at << 6) + _lowest(word)


@numba.njit(cache=True, nogil=True, inline="always")
def _previous(words: Any, rank: Any) -> Any:
    """The next rank in the set before ``rank``; there must be one."""
    at = rank >> 6
    word = words[at] & ((_ONE << np.uint64(rank & 63)) - _ONE)
    while word == 0:
        at -= 1
        word = words[at]
    return (at << 6) + _highest(word)


@numba.njit(cache=True, nogil=True)
def _trailing_median(series: Any, order: Any, starts: Any, length: int, least: int, out: Any) -> None:
    rows, records = series.shape
    words = np.zeros((records >> 6) + 2, np.uint64)
    rank = np.empty(records, np.int64)
    for row in range(rows):
        for place in range(records):
            rank[order[row, place]] = place
        words[:] = 0
        size = 0
        first = 0  # oldest record that the window may hold
        median = -1  # rank of the lower median of the window, and how many of the window's ranks lie below it
        below = 0
        for t in range(records):
            if starts[t] > first:
                first = starts[t]
                words[:] = 0
                size, median, below = 0, -1, 0
            if t - 1 >= first and not np.isnan(series[row, t - 1]):
                new = rank[t - 1]
                words[new >> 6] |= _ONE << np.uint64(new & 63)
                size += 1
                if size == 1:
                    median, below = new, 0
                elif new < median:
                    below += 1
            if t - 1 - length >= first and not np.isnan(series[row, t - 1 - length]):
                old = rank[t - 1 - length]
                size -= 1
                if size == 0:
                    median, below = -1, 0
                elif old < median:
                    below -= 1
                elif old == median:
                    if below < size:  # the lower median has ranks above it, unless it is the last
                        median = _next(words, median)
                    else:
                        median = _previous(words, median)
                        below -= 1
                words[old >> 6] &= ~(_ONE << np.uint64(old & 63))
            wanted = (size - 1) >> 1
            while size and below > wanted:
                median = _previous(words, median)
                below -= 1
            while size and below < wanted:
                median = _next(words, median)
                below += 1
            if size < least:
                out[row, t] = np.nan
            elif size & 1:
                out[row, t] = series[row, order[row, median]]
            else:
                high = _next(words, median)
                out[row, t] = 0.5 * (series[row, order[row, median]] + series[row, order[row, high]])


def trailing_median(series: Array, starts: npt.NDArray[np.int64], *, window: int, least: int) -> Array:
    """Median of the records before each record.

    Parameters
    ----------
    series : (rows, records) float64; NaN is left out.
    starts : (records,) first record of the segment that each record belongs to; the window never reaches past it.
    window, least : how many records back, and how many values there must be, at least 1.

    Returns
    -------
    (rows, records) the median of ``series[:, max(starts[t], t − window) : t]``, NaN under ``least`` values.
    """
    out = np.empty_like(series, order="C")
    series = np.ascontiguousarray(series)
    _trailing_median(series, np.argsort(series, axis=1), starts, window, least, out)
    return out


__all__ = ["trailing_median"]
