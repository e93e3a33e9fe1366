"""Rows on their way to the disk: preallocated buffers, one a group, so that a row costs a copy and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deeptracker import conform
from deeptracker.errors import InputError
from deeptracker.store.commit import Column

_BUFFER_BYTES = 48 << 20
_BUFFER_ROWS = (2, 1024)


class Block:
    """Consecutive rows of a group: positions, and one array a variable."""

    def __init__(self, axis: str, columns: Mapping[str, Column]) -> None:
        row = sum(np.dtype(c.dtype).itemsize * int(np.prod(c.shape, dtype=np.int64)) for c in columns.values())
        self.capacity = min(max(_BUFFER_BYTES // max(1, row), _BUFFER_ROWS[0]), _BUFFER_ROWS[1])
        self.axis = axis
        self.count = 0
        self.start = 0
        self.arrays: dict[str, np.ndarray[Any, Any]] = {axis: np.empty(self.capacity, np.int64)}
        for name, column in columns.items():
            if name != axis:
                self.add(name, column, None)

    def add(self, name: str, column: Column, fill: object) -> None:
        """Take one more variable; rows that are already here get ``fill``."""
        self.arrays[name] = np.empty((self.capacity, *column.shape), column.dtype)
        if fill is not None:
            self.arrays[name][: self.count] = fill

    def rows(self) -> dict[str, np.ndarray[Any, Any]]:
        """The rows taken so far."""
        return {name: array[: self.count] for name, array in self.arrays.items()}


class Rows:
    """One growing group of a writer: what its rows look like, and where they wait.

    Parameters
    ----------
    group : path of the group.
    sizes : known lengths of the other axes.
    """

    def __init__(self, group: str, sizes: Mapping[str, int], columns: Mapping[str, Column]) -> None:
        declared = conform.declaration(group)
        if declared.append is None:
            raise InputError(f"group {group!r} does not grow by rows: write it whole, with put()")
        self.group, self.axis = group, declared.append
        self.is_open = declared.open_to is not None
        self.sizes = dict(sizes)
        self.columns: dict[str, Column] = dict(columns)
        self.first: int | None = None
        self.last: int | None = None
        self._narrow = False
        self._fills: dict[str, Any] = {}
        self._plan: list[tuple[str, tuple[int, ...]]] = []
        self.block: Block | None = None
        self._spare: Block | None = None
        self._describe()

    def _describe(self) -> None:
        names = [name for name in self.columns if name != self.axis]
        self._plan = [(name, self.columns[name].shape) for name in names]
        self._fills = {name: conform.variable(self.group, name).fill for name in names}
        self._narrow = any(self.columns[name].dtype == "float16" for name in names)

    def _learn(self, row: Mapping[str, Any]) -> None:
        """First row, or a row with a variable that was not there before."""
        known = {name: column for name, column in self.columns.items() if name != self.axis}
        if known and not self.is_open:
            missing, extra = sorted(set(known) - set(row)), sorted(set(row) - set(known))
            raise InputError(
                f"{self.group}: a row has to hold the variables of the first one; "
                f"missing: {', '.join(missing) or 'none'}; new: {', '.join(extra) or 'none'}"
            )
        sizes = dict(self.sizes)
        for name, column in known.items():
            sizes.update(zip(conform.variable(self.group, name).dims[1:], column.shape, strict=True))
        given = {name: value for name, value in row.items() if value is not None} if self.is_open else row
        shapes = conform.check_row(self.group, given, sizes)
        self.columns.setdefault(self.axis, Column((self.axis,), "int64", ()))
        for name, shape in shapes.items():
            if name not in self.columns:
                declared = conform.variable(self.group, name)
                self.columns[name] = Column(declared.dims, declared.dtype, shape)
                if self.block is not None:
                    self.block.add(name, self.columns[name], declared.fill)
        self._spare = None
        self._describe()

    def is_full(self) -> bool:
        """No room for another row until ``take`` was called."""
        return self.block is not None and self.block.count == self.block.capacity

    def append(self, position: int, row: Mapping[str, Any]) -> None:
        """Copy one row into the buffer, which must have room.

        Raises
        ------
        InputError
            The position is no whole number, does not increase, or names or shapes differ from the first row's.
        """
        position = conform.position(position, f"{self.group}: {self.axis}")
        if self.last is not None and position <= self.last:
            raise InputError(
                f"{self.group}: {self.axis} {position} does not come after {self.last}: "
                "positions strictly increase; cut() drops rows to record them anew"
            )
        known = self._fills
        if not known or any(name not in known for name in row) or (len(row) < len(known) and not self.is_open):
            self._learn(row)
        block = self.block
        if block is None:
            block = self.block = self._spare or Block(self.axis, self.columns)
            self._spare = None
        index, arrays = block.count, block.arrays
        if self._narrow:
            # A loss beyond float16 is stored as infinite: no reason for NumPy to warn the trainer.
            with np.errstate(over="ignore"):
                self._copy(index, arrays, row)
        else:
            self._copy(index, arrays, row)
        arrays[self.axis][index] = position
        block.count = index + 1
        self.last = position
        if self.first is None:
            self.first = position

    def _copy(self, index: int, arrays: Mapping[str, np.ndarray[Any, Any]], row: Mapping[str, Any]) -> None:
        for name, shape in self._plan:
            value = row.get(name)
            if value is None:
                value = self._fills[name]
            elif getattr(value, "shape", ()) != shape:
                raise InputError(
                    f"{self.group}/{name}: a row has shape {shape}, got {np.shape(value)}: every row has the first's"
                )
            arrays[name][index] = value

    @property
    def count(self) -> int:
        """Rows that wait here."""
        return 0 if self.block is None else self.block.count

    def cut(self, position: int) -> None:
        """Take the next row at ``position`` or later: those from there on are to go."""
        if self.last is not None and self.last >= position:
            self.first, self.last = (None, None) if (self.first or 0) >= position else (self.first, position - 1)

    def take(self, start: int) -> Block | None:
        """The rows so far, to be written from row ``start`` on; the group goes on with another buffer."""
        block = self.block
        if block is None or not block.count:
            return None
        block.start, self.block = start, None
        return block

    def give_back(self, block: Block) -> None:
        """A block that was written: its memory is used again."""
        if block.arrays.keys() == {self.axis, *self._fills}:
            block.count = 0
            self._spare = block


__all__ = ["Block", "Rows"]
