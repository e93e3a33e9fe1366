"""What a writer does to the files of a run, each step ending in a commit. No threads, no buffers."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from deeptracker.errors import InputError, UnreachableError
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.store.arrays import RowFiles
from deeptracker.store.commit import Column, Commit, Growth, holds_run, load_commit, save_commit
from deeptracker.store.copies import drop_copies, make_copy, with_copies
from deeptracker.store.edition import Edition
from deeptracker.store.joined import JoinedArray
from deeptracker.store.layout import COMMIT, COPIES, COPY, LOG, MAKING, TAIL, is_plain
from deeptracker.store.migration import brought_up
from deeptracker.store.place import Place
from deeptracker.store.rows import Block
from deeptracker.store.shards import LATE, cut_rows, make_parents, merge_tail, move_rows, rows_per_shard
from deeptracker.store.spans import Span
from deeptracker.store.tables import read_group, write_group
from deeptracker.store.tail import write_tail
from deeptracker.store.whereabouts import growing_of, making_folder
from deeptracker.store.zarrays import Filling, make_group


class Disk:
    """The committed state of a run that is being written, and the steps from one state to the next.

    Parameters
    ----------
    path : where the run lies; the caller holds its lock.
    resume : go on with a run that is there.
    """

    def __init__(self, path: Place, resume: bool) -> None:
        self.path = path
        self._marker = (path / COMMIT).marker()
        if holds_run(path):
            if not resume:
                raise InputError(f"{path} already holds a run: choose another path, or resume it")
            self.commit = load_commit(path)
            if self.commit.schema < SCHEMA_VERSION:
                self.save(brought_up(path, self.commit))
            self._clean()
            self._finish_moves()
            if path.is_here and (commit := with_copies(path, self.commit)) != self.commit:
                self.save(commit)
            drop_copies(path, self.commit)
        else:
            self.commit = Commit(run=uuid.uuid4().hex, attributes={"schema_version": SCHEMA_VERSION})
            make_group(path / LOG, {"schema_version": SCHEMA_VERSION})
            self.save(self.commit)

    def save(self, commit: Commit) -> None:
        """Make a state count, then remove the files of the tail that it no longer names."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        commit = replace(commit, generation=self.commit.generation + 1, when=now)
        raw = save_commit(self._marker, commit)
        self._keep_copy(raw, commit)
        stale = {file.name for file in self.commit.tail} - {file.name for file in commit.tail}
        self.commit = commit
        (self.path / TAIL).drop(stale)

    def _keep_copy(self, raw: bytes, commit: Commit) -> None:
        """The marker once more, for the day on which the first is damaged: all it names is still there.

        It costs no fsync; in a bucket, where it would be a request, it is kept at the end, and goes when the run goes
        on: of an earlier state it would be no help.
        """
        with suppress(OSError, UnreachableError):
            if self.path.is_here or commit.closed:
                (self.path / COPY).put(raw)
            elif self.commit.closed:
                self.path.drop([COPY])

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Merge attributes into those of the run."""
        self.save(replace(self.commit, attributes={**self.commit.attributes, **attributes}))

    def add(self, blocks: Iterable[tuple[str, Block, Mapping[str, Column]]]) -> None:
        """Commit new rows of several groups, as one file of the tail."""
        blocks = list(blocks)
        file = write_tail(
            self.path / TAIL, self._tail_name(), {group: (block.start, block.rows()) for group, block, _ in blocks}
        )
        commit = self.commit
        for group, block, columns in blocks:
            growth = commit.groups.get(group) or Growth(block.axis, rows_per_shard(columns), columns)
            commit = commit.with_group(
                group,
                replace(
                    growth,
                    columns={**growth.columns, **columns},
                    tail=growth.tail + block.count,
                    first=int(block.arrays[block.axis][0]) if growth.first is None else growth.first,
                    last=int(block.arrays[block.axis][block.count - 1]),
                ),
            )
        self.save(replace(commit, tail=(*commit.tail, file), closed=False))

    def maintain(self) -> None:
        """Whole shards leave the tail; files of the tail that grew many or stale are merged."""
        commit = self.commit
        for group, growth in self.commit.groups.items():
            whole = growth.rows // growth.shard_rows * growth.shard_rows
            # A run that was closed and resumed has rows in a partly filled shard; they are written again with it.
            if whole > growth.shards:
                commit = move_rows(self.path, commit, group, whole)
        commit = merge_tail(self.path, commit, self._tail_name())
        if commit != self.commit:
            self.save(commit)

    def cut(self, position: int) -> None:
        """Drop the rows of every growing group at or past ``position``."""
        keep: dict[str, int] = {}
        for group, growth in self.commit.groups.items():
            if growth.last is not None and growth.last >= position:
                positions = JoinedArray(self.path, self.commit, group, growth.axis)
                keep[group] = int(np.searchsorted(positions.rows(slice(0, growth.rows)), position))
        if not keep:
            return
        self.save(cut_rows(self.path, self.commit, keep, self._tail_name()))
        batch, shortened = (self.path / MAKING / "shards").batch(self.path / LOG), []
        for group in keep:
            growth = self.commit.groups[group]
            places = [self.path / LOG / group / name for name in growth.columns]
            shortened += [(RowFiles(p), growth.shards) for p in places if (p / "zarr.json").is_file()]
        for files, rows in shortened:
            files.set_rows(rows, batch)
        batch.finish()
        for files, rows in shortened:
            files.drop_after(rows)

    def thin(self, spans: Mapping[str, Iterable[Span]]) -> None:
        """Say that whole shards of some groups count no more; their files are still there: see ``remove_thinned``."""
        commit = self.commit
        for group, more in spans.items():
            growth = commit.groups[group]
            commit = commit.with_group(group, replace(growth, thinned=growth.thinned.add(more)))
        self.save(commit)

    def finish(self) -> None:
        """Bring every row into the hierarchy, the last shard partly filled: the run is plain Zarr then."""
        self._finish_moves()  # where a fault came between a commit of tables and their move
        commit = self.commit
        for group, growth in commit.groups.items():
            if growth.tail:
                commit = move_rows(self.path, commit, group, growth.rows)
        make_group(self.path / LOG, commit.attributes)
        self.save(replace(with_copies(self.path, commit), tail=(), closed=True))
        drop_copies(self.path, self.commit)
        (self.path / MAKING).remove()

    def put(self, tables: Mapping[str, xr.Dataset]) -> None:
        """Write static groups (or the coordinates of empty growing ones) in one commit, replacing earlier ones."""
        version = self.commit.generation + 1
        filling = Filling()
        for group, table in tables.items():
            folder = making_folder(self.path, group, version)
            folder.remove()
            write_group(folder, group, table.compute(), filling)
        filling.finish()
        made = {group: making_folder(self.path, group, version) for group in tables}
        copies = {group: checksum for group, checksum in self.commit.copies.items() if group not in tables}
        for group, folder in made.items() if self.path.is_here else ():  # in a bucket, by many requests, at the end
            with suppress(OSError):
                copies[group] = make_copy(self.path, folder, group)
        self.path.sync([*made.values(), self.path / COPIES])
        for group in tables:
            make_parents(self.path / LOG, group)
        groups = {path: growth for path, growth in self.commit.groups.items() if path not in tables}
        versions = {**self.commit.tables, **dict.fromkeys(tables, version)}
        self.save(replace(self.commit, groups=groups, tables=versions, copies=copies, closed=False))
        self._finish_moves()
        drop_copies(self.path, self.commit)

    def get(self, group: str) -> xr.Dataset | None:
        """A static group (or the coordinates of a growing one), lazily indexed, or None."""
        return read_table(self.path, self.commit, group)

    def _clean(self) -> None:
        """Remove what a killed writer left: files of the tail and unfinished parts that no commit names."""
        named = {file.name for file in self.commit.tail}
        if (self.path / TAIL).is_dir():
            (self.path / TAIL).drop([c.name for c in (self.path / TAIL).iterdir() if c.name not in named])
        tables = {making_folder(self.path, *item) for item in self.commit.tables.items()}
        for child in (self.path / MAKING).iterdir() if (self.path / MAKING).is_dir() else ():
            if child not in tables and not child.name.startswith(LATE):
                child.remove()
        remove_thinned(self.path, self.commit)

    def _finish_moves(self) -> None:
        """Bring tables that were committed but not yet moved to their place in the hierarchy."""
        places = ((making_folder(self.path, *item), item[0]) for item in self.commit.tables.items())
        moves = [(making, group) for making, group in places if (making / "zarr.json").is_file()]
        for _, group in moves:
            make_parents(self.path / LOG, group)
        self.path.move((making, self.path / LOG / group) for making, group in moves)

    def _tail_name(self) -> str:
        return f"{self.commit.generation + 1:09d}.tail"


def remove_thinned(path: Place, commit: Commit) -> None:
    """Delete the files of shards that a commit says are thinned, where they are still there."""
    for group, growth in commit.groups.items():
        for name, column in growth.columns.items() if growth.thinned else ():
            place = path / LOG / group / name / "c"
            if place.is_dir() and not is_plain(column.shape, column.dims):
                for child in place.iterdir():
                    if child.name.isdecimal() and growth.thinned.holds_shard(int(child.name), growth.shard_rows):
                        child.remove(strict=True)


def read_table(path: Place, commit: Commit, group: str) -> xr.Dataset | None:
    """A static group (or the coordinates of a growing one) as a commit has it, lazily indexed, or None."""
    version = commit.tables.get(group)
    if version is None:
        return None
    return read_group(
        (making_folder(path, group, version), path / LOG / group),
        f"{path}: {group}",
        Edition(path, commit.run, group, version),
        growing_of(commit, group),
    )


__all__ = ["Disk", "read_table", "remove_thinned"]
