"""Episodes of a state, told window by window: when each of many things first entered it for long, and left it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]


class Episodes:
    """The first lasting episode of each column, whatever the windows in which its records come.

    Parameters
    ----------
    columns : number of columns.
    least : records that an episode must last.
    position : an iteration; ``left`` then tells of the columns that are in the state at the first record from it on.

    Attributes
    ----------
    onset, end : (columns,) iteration of the first record of the episode, and of the first record after it; −1 where
        there is none, or where it lasts to the last record.
    there, left : (columns,) whether the column is in the state at ``position``, and the iteration of the first
        record after that at which it is not, −1 where there is none.
    """

    def __init__(self, columns: int, least: int, position: int | None = None) -> None:
        self._least, self._position = least, position
        self._length, self._begun = np.zeros(columns, np.int64), np.full(columns, -1, np.int64)
        self.onset, self.end = np.full(columns, -1, np.int64), np.full(columns, -1, np.int64)
        self.there, self.left = np.zeros(columns, bool), np.full(columns, -1, np.int64)

    def see(self, flags: Flags, iteration: Index) -> None:
        """The next records: (records, columns), and the iteration of each."""
        if not len(iteration):
            return
        self._follow(flags, iteration)
        over = (self.onset >= 0) & (self.end >= 0)
        for column in np.flatnonzero((flags.any(0) | (self._length > 0)) & ~over):
            self._walk(int(column), flags[:, column], iteration)

    def _walk(self, column: int, flags: Flags, iteration: Index) -> None:
        inside = bool(self._length[column])
        turns = np.flatnonzero(np.diff(np.concatenate([[inside], flags])))
        first = 0  # where the episode that is going on began in this window
        for at in turns.tolist():
            if not inside:
                self._begun[column], self._length[column], first = iteration[at], 0, at
            else:
                self._length[column] += at - first
                if self._lasting(column):
                    self.end[column] = iteration[at]
                    return
                self._length[column] = 0
            inside = not inside
        if inside:
            self._length[column] += len(flags) - first
            self._lasting(column)

    def _lasting(self, column: int) -> bool:
        lasting = bool(self._length[column] >= self._least)
        if lasting:
            self.onset[column] = self._begun[column]
        return lasting

    def _follow(self, flags: Flags, iteration: Index) -> None:
        """What becomes of the columns that are in the state at the position."""
        if self._position is None or iteration[-1] < self._position:
            return
        start = int(np.searchsorted(iteration, self._position))
        if not self._met:
            self.there, self._met = flags[start].copy(), True
        waiting = self.there & (self.left < 0)
        gone = ~flags[start:]
        out = waiting & gone.any(0)
        self.left[out] = iteration[start + gone[:, out].argmax(0)]

    _met = False


__all__ = ["Episodes"]
