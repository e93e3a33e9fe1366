"""Filters that learn only now and then: where they have no usual step, and get no score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]

RECENT = 100  # records
_MOST = 0.1  # of them, without a gradient


class Sparse:
    """Where more than a tenth of the last 100 records had no gradient for a filter, told window by window.

    Behind a ReLU without normalisation some filters answer to few images. Between two of them an optimizer with a
    memory lets their steps fade, and each gradient is a burst: unusual by any past, and nothing to look at.
    """

    def __init__(self, columns: int) -> None:
        self._recent = np.zeros((0, columns), bool)
        self._windows: list[tuple[int, int, npt.NDArray[np.intp], npt.NDArray[np.uint8]]] = []
        self._columns, self._seen = columns, 0

    def see(self, none: Flags) -> None:
        """The next records: (records, filters), whether there was no gradient."""
        known = np.concatenate([self._recent, none])
        start, self._seen = self._seen, self._seen + len(none)
        self._recent = known[-RECENT:].copy()
        some = np.flatnonzero(known.sum(0) > _MOST * RECENT)
        if not len(some):
            return
        total = np.cumsum(known[:, some], axis=0, dtype=np.int32)
        total[RECENT:] -= total[:-RECENT].copy()
        flags = total[len(known) - len(none) :] > _MOST * RECENT
        self._windows.append((start, self._seen, some, np.packbits(flags, axis=0)))

    def at(self, start: int, stop: int) -> Flags:
        """The records from ``start`` to ``stop``, (filters, records)."""
        out = np.zeros((self._columns, stop - start), bool)
        for first, last, some, packed in self._windows:
            low, high = max(start, first), min(stop, last)
            if low < high:
                flags = np.unpackbits(packed, axis=0, count=last - first).astype(bool)
                out[some, low - start : high - start] = flags[low - first : high - first].T
        return out


__all__ = ["RECENT", "Sparse"]
