"""Rows of all groups between who appends and who writes: bounded, and waited for only while the disk takes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from deeptracker.errors import RunError
from deeptracker.sink import Row
from deeptracker.store.commit import Commit
from deeptracker.store.rows import Block, Rows


class Buffers:
    """See ``rows.Rows``, of which there is one a group.

    Attributes
    ----------
    groups : the rows of each group.
    sizes : known lengths of the other axes of each group.
    failing : why nothing could be written the last time; empty where it could.
    lost : rows that came while memory was full and nothing could be written, or that were left at the end.
    """

    def __init__(self, commit: Commit) -> None:
        self.groups: dict[str, Rows] = {}
        self.sizes: dict[str, Mapping[str, int]] = {}
        self.failing, self.lost, self.closed = "", 0, False
        self._change = threading.Condition()
        for group, growth in commit.groups.items():
            self.groups[group] = Rows(group, {}, growth.columns)
        self.follow(commit)

    def follow(self, commit: Commit) -> None:
        """First and last rows are those of a commit."""
        for group, growth in commit.groups.items():
            self.groups[group].first, self.groups[group].last = growth.first, growth.last

    def append(self, group: str, position: int, row: Row) -> bool:
        """Take a row; False where there is no room."""
        with self._change:
            rows = self.groups.get(group)
            if rows is None:
                rows = self.groups[group] = Rows(group, self.sizes.get(group, {}), {})
            if rows.is_full():
                return False
            rows.append(position, row)
            return True

    def wait(self, group: str, ask: Callable[[], object] | None) -> None:
        """Return when there is room, or the run is closed; ``ask`` has rows written by another thread.

        Raises
        ------
        RunError
            There will be none: the row is lost. A disk that fails would hold a training up at every row.
        """
        with self._change:
            while self.groups[group].is_full() and not self.closed:
                if self.failing or ask is None:
                    self.lost += 1
                    raise RunError(self.failing)
                ask()
                self._change.wait(1.0)

    def close(self) -> bool:
        """Take no more rows; False where that was said before."""
        with self._change:
            before, self.closed = self.closed, True
            return not before

    def take(self, commit: Commit) -> list[tuple[str, Block]]:
        """All rows, to be written after those of a commit."""
        with self._change:
            starts = {group: growth.rows for group, growth in commit.groups.items()}
            taken = [(group, rows.take(starts.get(group, 0))) for group, rows in self.groups.items()]
            self._change.notify_all()
        return [(group, block) for group, block in taken if block is not None]

    def give_back(self, written: Iterable[tuple[str, Block]]) -> None:
        """Memory of blocks that are committed."""
        with self._change:
            for group, block in written:
                self.groups[group].give_back(block)

    def fail(self, why: str) -> None:
        """Nothing could be written."""
        with self._change:
            self.failing = why
            self._change.notify_all()

    def lose(self, waiting: int) -> None:
        """What is here, and ``waiting`` rows more, will not be written."""
        self.lost += waiting + sum(rows.count for rows in self.groups.values())


__all__ = ["Buffers"]
