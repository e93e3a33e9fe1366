"""Arrays that many tasks fill, and read, while a stage is being made: told to a task by their address."""

from __future__ import annotations

from typing import Any

import numpy as np

from deeptracker.store.arrays import RowFiles
from deeptracker.store.zarrays import Filling, Writable


class Region:
    """One array of a stage that is not finished.

    Parameters
    ----------
    array : the array; nothing but its address is pickled.
    begun : rows that are there already, since they stay from an earlier version; rows from here on are to be put.
    """

    def __init__(self, array: Writable, begun: int = 0) -> None:
        self._array, self._begun = array, begun
        self.shape, self.dtype = array.shape, array.dtype

    @property
    def file_rows(self) -> int:
        """Rows in one of its files: tasks put whole files, or two would write one and lose data without a word."""
        return self._array.files[0]

    def put(self, start: int, values: np.ndarray[Any, Any]) -> None:
        """Rows from ``start``, where a file begins or rows that stay end, to the end of a file or of the array."""
        filling = Filling()
        self.add(filling, start, values)
        filling.finish()

    def add(self, filling: Filling, start: int, values: np.ndarray[Any, Any]) -> None:
        """As ``put``, together with others: written when ``filling`` is finished."""
        stop, behind = start + len(values), start % self.file_rows
        if (behind and start != self._begun) or (stop % self.file_rows and stop != self.shape[0]):
            raise ValueError(f"rows {start} to {stop} do not fill files of {self.file_rows} rows")
        if values.size:
            values = values.astype(self.dtype, copy=False)
            if behind:
                values = np.concatenate([self.read(start - behind, start), values])
            filling.add(self._array, slice(start - behind, stop), values)

    def read(self, start: int, stop: int, chosen: slice = slice(None)) -> np.ndarray[Any, Any]:
        """Rows that were put, ``chosen`` places of the second axis."""
        rest = (chosen, *(slice(None) for _ in self.shape[2:]))
        if stop <= start or 0 in self.shape:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        return RowFiles(self._array.folder, self._array.metadata).read(slice(start, stop), rest)


__all__ = ["Region"]
