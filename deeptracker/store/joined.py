"""One labelled array out of shards and tail, read when values are taken."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from deeptracker import conform
from deeptracker.errors import DamagedRunError, RunError
from deeptracker.store.arrays import Key, row_files
from deeptracker.store.commit import Column, Commit, load_commit
from deeptracker.store.edition import latest
from deeptracker.store.layout import LOG, TAIL, is_plain
from deeptracker.store.place import Place
from deeptracker.store.spans import NOTHING
from deeptracker.store.tail import read_tail
from deeptracker.store.zarrays import NotAnArrayError

_ATTEMPTS = 5


class JoinedArray(BackendArray):
    """A variable of a growing group as one commit has it; cheap to pickle, and to index lazily.

    While a writer goes on, rows move from the tail into shards. Row numbers never change (until rows are cut), so a
    row that is no longer where this commit says is looked up in the newest one. Rows that were thinned read as the
    fill value; numbers and coordinates lie in plain chunks, and stay.

    Parameters
    ----------
    folder : the run.
    commit : the state to read.
    group, name : the variable.
    """

    def __init__(self, folder: Place, commit: Commit, group: str, name: str) -> None:
        growth = commit.groups[group]
        self.folder, self.group, self.name = folder, group, name
        self.run, self.cuts, self.generation, self.growth = commit.run, commit.cuts, commit.generation, growth
        self.column: Column = growth.columns[name]
        self.thinned = NOTHING if is_plain(self.column.shape, self.column.dims) else growth.thinned
        self.tail = tuple((file.name, *file.spans[group]) for file in commit.tail if group in file.spans)
        self.shape = (growth.rows, *self.column.shape)
        self.dtype = np.dtype(self.column.dtype)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (
            "deeptracker",
            str(self.folder),
            self.run,
            self.cuts,
            self.group,
            self.name,
            self.shape,
            *((span.start, span.stop) for span in self.thinned.spans),
        )

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._take)

    def _take(self, key: Key) -> np.ndarray[Any, Any]:
        rows, rest = key[0], key[1:]
        if isinstance(rows, slice):
            result = self.rows(slice(*rows.indices(self.shape[0])), rest)
        elif np.ndim(rows) == 0:
            result = self.rows(slice(int(rows), int(rows) + 1), rest)[0]
        else:
            result = self.rows(np.asarray(rows), rest)
        return result

    def rows(self, rows: slice | np.ndarray[Any, Any], rest: Key | None = None) -> np.ndarray[Any, Any]:
        """Rows by number.

        Raises
        ------
        DamagedRunError
            Bytes are not what was written; names group and variable.
        RunError
            The rows were cut away, or thinned, since this commit.
        """
        where = self
        rest = tuple(slice(None) for _ in self.column.shape) if rest is None else rest
        for _ in range(_ATTEMPTS):
            try:
                result = where._read(rows, rest)
            except NotAnArrayError as error:
                raise self._damaged(error) from error
            except (OSError, DamagedRunError, IndexError, MemoryError) as error:
                newer = self._newest(rows)
                if newer is None or newer.generation == where.generation:
                    raise self._damaged(error) from error
                where = newer
                continue
            self._check_history(rows)
            return result
        raise RunError(f"{self.folder} changes faster than it can be read: try again")

    def _check_history(self, rows: slice | np.ndarray[Any, Any]) -> None:
        now = latest(self.folder)
        if (now.run, now.cuts) != (self.run, self.cuts):
            raise RunError(
                f"{self.folder}: rows were dropped from the run since it was opened: call refresh() and read again"
            )
        if now.generation == self.generation or is_plain(self.column.shape, self.column.dims):
            return
        thinned = now.groups[self.group].thinned if self.group in now.groups else NOTHING
        # A file that is deleted while it is read gives fill values: they must not pass for what this commit holds.
        if thinned != self.thinned and (thinned.covers(_numbers(rows)) & ~self.thinned.covers(_numbers(rows))).any():
            raise RunError(
                f"{self.folder}: rows of {self.group} were thinned since the run was opened: call refresh() and read "
                "again"
            )

    def _newest(self, rows: slice | np.ndarray[Any, Any]) -> JoinedArray | None:
        self._check_history(rows)
        commit = load_commit(self.folder)
        if self.group not in commit.groups or self.name not in commit.groups[self.group].columns:
            return None
        return JoinedArray(self.folder, commit, self.group, self.name)

    def _damaged(self, error: Exception) -> DamagedRunError:
        return DamagedRunError(
            f"{self.folder}: {self.group}/{self.name} is damaged ({error}): "
            f"deeptracker verify {self.folder} names every damaged part"
        )

    def _read(self, rows: slice | np.ndarray[Any, Any], rest: Key) -> np.ndarray[Any, Any]:
        shards = self.growth.shards
        if isinstance(rows, slice):
            numbers = range(rows.start, rows.stop, rows.step or 1)
            inside = min(len(numbers), max(0, -(-(shards - rows.start) // numbers.step)))
            self._sure_of_tail(rows.stop)
            head: Any = slice(rows.start, min(rows.stop, shards), numbers.step)
            behind: Any = np.arange(numbers[inside], rows.stop, numbers.step) if inside < len(numbers) else None
        else:
            inside = int(np.searchsorted(rows, shards))
            head, behind = rows[:inside], rows[inside:] if inside < len(rows) else None
        parts = []
        if inside:
            parts.append(self._from_shards(head, rest))
        if behind is not None:
            parts.append(self._from_tail(behind, rest))
        if not parts:
            return outer(np.empty((0, *self.column.shape), self.dtype), rest)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _sure_of_tail(self, stop: int) -> None:
        """Rows before ``stop`` lie in files that are long enough for them: a marker that says so is not enough."""
        for name, start, count in self.tail:
            if start < stop and start + count > self.growth.shards:
                positions = read_tail(self.folder / TAIL / name, self.run, self.group, self.growth.axis)
                if positions is None or positions.shape != (count,):
                    raise DamagedRunError(f"{name} has not as many rows as were committed")
        if stop > self.growth.shards and sum(count for _, _, count in self.tail) < stop - self.growth.shards:
            raise DamagedRunError("the tail lacks rows that were committed")

    def _from_shards(self, rows: slice | np.ndarray[Any, Any], rest: Key) -> np.ndarray[Any, Any]:
        array = row_files(self.folder / LOG / self.group / self.name, (self.run, self.cuts))
        if array.row_shape != self.column.shape or array.dtype != self.dtype:
            raise DamagedRunError("its metadata are not those that were committed")
        gone = self.thinned.covers(numbers := _numbers(rows)) if self.thinned else np.zeros(0, bool)
        if not gone.any():
            return array.read(rows, rest)
        borders = [0, *(np.flatnonzero(np.diff(gone)) + 1).tolist(), len(numbers)]
        parts = []
        for first, stop in itertools.pairwise(borders):
            if gone[first]:
                nothing = np.broadcast_to(np.asarray(self.fill, self.dtype), (stop - first, *self.column.shape))
                parts.append(outer(nothing, rest))
            elif isinstance(rows, slice):
                parts.append(array.read(slice(int(numbers[first]), int(numbers[stop - 1]) + 1, rows.step), rest))
            else:
                parts.append(array.read(numbers[first:stop], rest))
        return np.concatenate(parts)

    def _from_tail(self, rows: np.ndarray[Any, Any], rest: Key) -> np.ndarray[Any, Any]:
        out = np.full((len(rows), *self.column.shape), self.fill, self.dtype)
        wanted = [(name, start, *np.searchsorted(rows, (start, start + count))) for name, start, count in self.tail]
        wanted = [one for one in wanted if one[2] < one[3]]
        blocks = self.folder.at_once(
            lambda one: read_tail(self.folder / TAIL / one[0], self.run, self.group, self.name), wanted
        )
        for (_, start, low, high), block in zip(wanted, blocks, strict=True):
            if block is None:
                continue
            if (
                block.shape[1:] != self.column.shape
                or block.dtype != self.dtype
                or rows[high - 1] - start >= len(block)
            ):
                raise DamagedRunError("its rows in the tail are not such as were committed")
            out[low:high] = block[rows[low:high] - start]
        if sum(high - low for _, _, low, high in wanted) != len(rows):
            raise DamagedRunError("the tail lacks rows that were committed")
        return outer(out, rest)

    @property
    def fill(self) -> Any:
        """Value of the rows before a variable first appeared, and of those that were thinned."""
        if self.name == self.growth.axis:
            return -1
        return conform.variable(self.group, self.name).fill


def _numbers(rows: slice | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.arange(rows.start, rows.stop, rows.step or 1) if isinstance(rows, slice) else rows


def outer(block: np.ndarray[Any, Any], rest: Key) -> np.ndarray[Any, Any]:
    """Index each axis after the first by itself."""
    for axis in reversed(range(len(rest))):
        block = block[(slice(None),) * (axis + 1) + (rest[axis],)]
    return block


def read_rows(folder: Place, commit: Commit, group: str, name: str, start: int, stop: int) -> np.ndarray[Any, Any]:
    """Rows [start, stop) of a variable, loaded."""
    return JoinedArray(folder, commit, group, name).rows(slice(start, stop))


__all__ = ["JoinedArray", "outer", "read_rows"]
