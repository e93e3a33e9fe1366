"""What a writer was told and could not write yet: it stays in memory, and goes before anything new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from deeptracker.store.disk import Disk
from deeptracker.store.rows import Block, Rows


class Waiting:
    """Changes of a run in the order in which they are made: a cut, tables, attributes, blocks of rows.

    Of what is said twice the later word counts, so that a disk that stays full fills no memory.
    """

    def __init__(self) -> None:
        self.position: int | None = None
        self.tables: dict[str, xr.Dataset] = {}
        self.attributes: dict[str, Any] = {}
        self.blocks: list[tuple[str, Block]] = []

    def cut(self, position: int) -> None:
        """Rows at or past a position are to go."""
        self.position = position if self.position is None else min(position, self.position)

    @property
    def rows(self) -> int:
        """How many rows wait here."""
        return sum(block.count for _, block in self.blocks)

    def __bool__(self) -> bool:
        return self.position is not None or bool(self.tables or self.attributes or self.blocks)

    def change(self, disk: Disk) -> None:
        """Make the changes that are no rows."""
        if self.position is not None:
            disk.cut(self.position)
            self.position = None
        if self.tables:
            disk.put(self.tables)
            self.tables = {}
        if self.attributes:
            disk.describe(self.attributes)
            self.attributes = {}

    def write(self, disk: Disk, known: Mapping[str, Rows]) -> list[tuple[str, Block]]:
        """Make all of them; returns the blocks that are committed now."""
        self.change(disk)
        if self.blocks:
            disk.add((g, b, {name: known[g].columns[name] for name in b.arrays}) for g, b in self.blocks)
        written, self.blocks = self.blocks, []
        return written


__all__ = ["Waiting"]
