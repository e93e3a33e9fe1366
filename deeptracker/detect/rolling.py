"""Medians of the past: for every record, the median of the records before it, within its segment and window.

A segment is cut into blocks as long as the window, so that a window is the end of one block and the beginning of the
next. Each block is sorted once; its records then leave, or enter, a linked list in order of size by one step each,
and the median moves by at most one place (Suomela, *Median filtering is equivalent to sorting*, arXiv:1406.1717).
What a record costs grows with the logarithm of the window, and not with the length of the series.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@numba.njit(cache=True, nogil=True, inline="always")
def _sort_in(series: Any, order: Any, value: Any, place: Any, before: Any, after: Any) -> Any:
    """Make a list of a block, as it is before any of its records is in; its end.

    Node 0 is the list's head, nodes 1, 2, … the records by size, the last one its end; a record that is NaN has none
    (``place`` 0). Taking the records out from the last to the first leaves in each the neighbours that it will have
    when it enters.
    """
    count = len(order)
    end = 1
    for rank in range(count):
        at = order[rank]
        if np.isnan(series[at]):
            place[at] = 0
            continue
        place[at] = end
        value[end] = series[at]
        end += 1
    for node in range(end + 1):
        before[node], after[node] = node - 1, node + 1
    for at in range(count - 1, -1, -1):
        node = place[at]
        if node:
            after[before[node]], before[after[node]] = after[node], before[node]
    return end


@numba.njit(cache=True, nogil=True)
def _trailing_median(series: Any, order: Any, blocks: Any, length: Any, least: Any, out: Any) -> None:
    # Two lists: of the block before (rows `old` of the arrays) and of the one that the record lies in (`new`).
    value, place = np.empty((2, length + 2)), np.zeros((2, length), np.int64)
    before, after = np.zeros((2, length + 2), np.int64), np.zeros((2, length + 2), np.int64)
    for row in range(len(series)):
        old, new = 0, 1
        end_old = end_new = 0
        # In each list the first node that is not among the lower half of the window, and how many are before it.
        at_old = at_new = low_old = low_new = size = 0
        for number in range(len(blocks)):
            first, stop, begins = blocks[number]
            if begins:  # a segment: no block before
                place[old] = 0
                after[old, 0], before[old, 1] = 1, 0
                at_old, end_old, low_old, size = 1, 1, 0, 0
            else:
                old, new = new, old
                at_old, end_old, low_old = at_new, end_new, low_new
            end_new = _sort_in(
                series[row, first:stop], order[row, first:stop], value[new], place[new], before[new], after[new]
            )
            at_new, low_new = end_new, 0
            for t in range(first, stop):
                lower = (size - 1) >> 1  # of the window, those below its lower median
                while low_old + low_new > lower and size:
                    top_old, top_new = before[old, at_old], before[new, at_new]
                    if low_new == 0 or (low_old and value[old, top_old] >= value[new, top_new]):
                        at_old, low_old = top_old, low_old - 1
                    else:
                        at_new, low_new = top_new, low_new - 1
                while low_old + low_new < lower:
                    if at_new == end_new or (at_old != end_old and value[old, at_old] <= value[new, at_new]):
                        at_old, low_old = after[old, at_old], low_old + 1
                    else:
                        at_new, low_new = after[new, at_new], low_new + 1
                if size < least:
                    out[row, t] = np.nan
                else:
                    one, other = at_old, at_new
                    if at_new == end_new or (at_old != end_old and value[old, at_old] <= value[new, at_new]):
                        median, one = value[old, at_old], after[old, at_old]
                    else:
                        median, other = value[new, at_new], after[new, at_new]
                    if size & 1 == 0:
                        if other == end_new or (one != end_old and value[old, one] <= value[new, other]):
                            median = 0.5 * (median + value[old, one])
                        else:
                            median = 0.5 * (median + value[new, other])
                    out[row, t] = median
                node = place[old, t - first]
                if node:  # leaves the window
                    if node < at_old:
                        low_old -= 1
                    elif node == at_old:
                        at_old = after[old, node]
                    after[old, before[old, node]], before[old, after[old, node]] = after[old, node], before[old, node]
                    size -= 1
                node = place[new, t - first]
                if node:  # enters it
                    after[new, before[new, node]] = before[new, after[new, node]] = node
                    size += 1
                    if node < at_new:
                        if at_old != end_old and value[new, node] > value[old, at_old]:
                            # Above the other list's first that is not low: that one is low in its stead.
                            at_new = node
                            at_old, low_old = after[old, at_old], low_old + 1
                        else:
                            low_new += 1


def _blocks(starts: Index, length: int) -> Iterator[tuple[int, int, bool]]:
    """(first, past the last, whether a segment begins) of each block."""
    borders = [0, *(np.flatnonzero(np.diff(starts)) + 1).tolist(), len(starts)]
    for first, stop in itertools.pairwise(borders):
        for at in range(first, stop, length):
            yield at, min(at + length, stop), at == first


def trailing_median(series: Array, starts: Index, *, window: int, least: int) -> Array:
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
    series = np.ascontiguousarray(series)
    blocks = np.array(list(_blocks(starts, window)), np.int64).reshape(-1, 3)
    order = np.empty(series.shape, np.int64)
    for first, stop, _ in blocks:
        order[:, first:stop] = np.argsort(series[:, first:stop], axis=1)
    out = np.empty_like(series)
    _trailing_median(series, order, blocks, window, least, out)
    return out


__all__ = ["trailing_median"]
