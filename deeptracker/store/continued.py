"""Arrays of a new version that begin with rows of the version before: whole files are shared, none is copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deeptracker.store.arrays import RowFiles
from deeptracker.store.place import Place
from deeptracker.store.zarrays import Writable


@dataclass(frozen=True, slots=True)
class Continued:
    """A group in the version before this one, whose first rows stay what they are.

    Parameters
    ----------
    folder : where that version of the group lies.
    axis, rows : the axis that grows, and how many rows along it stay.
    """

    folder: Place
    axis: str
    rows: int

    def share(self, name: str, array: Writable) -> tuple[int, np.ndarray[Any, Any]]:
        """Give an array its first rows.

        Files that hold nothing but rows that stay get a second name (a hard link; a copy where there are
        none). They are never written to again: each version is written once.

        Returns
        -------
        The row at which the first file that is not shared begins, and the rows that stay from there on: (rows, …).
        """
        earlier = RowFiles(self.folder / name)
        size = earlier.file_rows
        alike = earlier.file_shape == array.files and earlier.dtype == array.dtype
        whole = self.rows // size if alike and 0 not in earlier.row_shape else 0
        array.folder.at_once(lambda n: earlier.file(n, array.folder).share(earlier.file(n)), range(whole))
        if whole * size == self.rows:
            return self.rows, np.empty((0, *earlier.row_shape), earlier.dtype)
        everything = tuple(slice(None) for _ in earlier.row_shape)
        return whole * size, earlier.read(slice(whole * size, self.rows), everything)


__all__ = ["Continued"]
