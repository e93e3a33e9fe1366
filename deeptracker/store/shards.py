"""Moving rows of the tail into the Zarr hierarchy, whole shards at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from deeptracker import conform
from deeptracker.errors import DamagedRunError
from deeptracker.store.arrays import RowFiles
from deeptracker.store.commit import Column, Commit, Growth, TailFile, cut_lost
from deeptracker.store.joined import read_rows
from deeptracker.store.layout import LOG, MAKING, TAIL, growing_grid, shard_rows
from deeptracker.store.place import Place
from deeptracker.store.tables import variable_attributes
from deeptracker.store.tail import write_tail
from deeptracker.store.zarrays import Filling, Writable, make_array, make_group

LATE = "late~"
_MERGE_FILES = 32


def make_parents(log: Place, group: str) -> None:
    """Zarr groups above a group, where they are missing."""
    for parent in map(str, list(PurePosixPath(group).parents)[:-1]):
        if not (log / parent / "zarr.json").is_file():
            make_group(log / parent, {})


def rows_per_shard(columns: Mapping[str, Column]) -> int:
    """Shard length of a group: that of its largest variable."""
    sizes = [np.dtype(c.dtype).itemsize * int(np.prod(c.shape, dtype=np.int64)) for c in columns.values()]
    return shard_rows(max(sizes))


def move_rows(folder: Place, commit: Commit, group: str, stop: int) -> Commit:
    """Copy rows of a group from the tail into shards, up to row ``stop``; returns the state that says so.

    A few variables at a time are in memory. Nothing counts before the returned state is saved: until then the files
    written here lie past the committed rows, or repeat what was there.
    """
    growth = commit.groups[group]
    place = folder / LOG / group
    make_parents(folder / LOG, group)
    if not (place / "zarr.json").is_file():
        make_group(place, {"description": conform.declaration(group).description})
    filling, batch = Filling(), (folder / MAKING / "shards").batch(folder / LOG)
    try:
        for name in growth.columns:
            rows = read_rows(folder, commit, group, name, growth.shards, stop)
            if growth.shards:
                array = _array(folder, group, name, growth)
                array.write(growth.shards, rows, filling, batch, growth.thinned)
            else:
                batch.made(place / name)
                _begin(place / name, group, name, growth, rows, filling)
        filling.finish()
        batch.finish()
    except Exception:
        batch.drop()  # on a disk that is full the half of a shard would keep the next rows out
        raise
    moved = stop - growth.shards
    return commit.with_group(group, replace(growth, shards=stop, tail=growth.tail - moved))


def _begin(place: Place, group: str, name: str, growth: Growth, rows: np.ndarray[Any, Any], filling: Filling) -> None:
    """A new array with its first rows; whatever a killed writer left in its place is gone."""
    place.remove()
    filling.begin(describe_array(place, group, name, growth, len(rows)), rows)


def fill_of(group: str, name: str, growth: Growth) -> Any:
    """The value of a cell of a growing array that nothing was written to."""
    return -1 if name == growth.axis else conform.variable(group, name).fill


def describe_array(place: Place, group: str, name: str, growth: Growth, rows: int) -> Writable:
    """Write the metadata of a growing array."""
    column, attributes = growth.columns[name], variable_attributes(group, name, {})
    grid = growing_grid(column.shape, growth.shard_rows, column.dims)
    shape, dtype = (rows, *column.shape), np.dtype(column.dtype)
    return make_array(place, shape, dtype, fill_of(group, name, growth), grid, column.dims, attributes)


def _array(folder: Place, group: str, name: str, growth: Growth) -> RowFiles:
    """The array, which is made first where its variable appeared late: rows before it hold the fill value."""
    place, column = folder / LOG / group / name, growth.columns[name]
    if not (place / "zarr.json").is_file():
        aside = folder / MAKING / f"{LATE}{group.replace('/', '~')}~{name}"
        if (aside / "zarr.json").is_file():
            place.remove()  # a writer was killed while it moved there: in a bucket that is done file by file
        if (place / "c").exists():
            raise DamagedRunError(f"{place / 'zarr.json'} is missing: deeptracker verify {folder} names what else is")
        filling = Filling()
        earlier = np.full((growth.shards, *column.shape), conform.variable(group, name).fill, column.dtype)
        _begin(aside, group, name, growth, earlier, filling)
        filling.finish()
        folder.sync([aside])
        folder.move([(aside, place)])
    return RowFiles(place)


def cut_rows(folder: Place, commit: Commit, keep: Mapping[str, int], name: str) -> Commit:
    """Keep only the first rows of some groups.

    Rows in shards stay where they are, those past the kept ones count no more; what is kept of the tail goes into
    one new file, so that its rows never overlap with those to come.

    Parameters
    ----------
    keep : group → rows to keep, fewer than it has.
    name : name of the tail file.
    """
    blocks = {}
    groups = dict(commit.groups)
    for group, growth in commit.groups.items():
        rows = keep.get(group, growth.rows)
        shards = min(growth.shards, rows)
        if group in keep:
            first, last = None, None
            if rows:
                first, last = growth.first, int(read_rows(folder, commit, group, growth.axis, rows - 1, rows)[0])
            kept, lost = growth.thinned.cut(rows), cut_lost(growth.lost, rows)
            groups[group] = replace(
                growth, shards=shards, tail=rows - shards, first=first, last=last, thinned=kept, lost=lost
            )
        if rows > shards:
            blocks[group] = (shards, {c: read_rows(folder, commit, group, c, shards, rows) for c in growth.columns})
    tail = (write_tail(folder / TAIL, name, blocks),) if blocks else ()
    return replace(commit, groups=groups, tail=tail, cuts=commit.cuts + 1)


def merge_tail(folder: Place, commit: Commit, name: str) -> Commit:
    """Fewer and smaller tail files: without rows that are in shards by now, small files joined.

    Small files are joined with earlier ones of about their size, so each row is rewritten a few times only.
    """
    files = [file for file in commit.tail if _live(file, commit)]
    wasted = [_waste(file, commit) for file in files]
    stale = sum(wasted) * 2 > sum(file.size for file in files)
    if len(files) <= _MERGE_FILES and not stale:
        return commit if len(files) == len(commit.tail) else replace(commit, tail=tuple(files))
    first, total = len(files), 0
    while first and (stale or len(files) - first < _MERGE_FILES // 2 or files[first - 1].size <= total):
        first -= 1
        total += files[first].size
    merged = files[first:]
    blocks = {}
    for group, growth in commit.groups.items():
        spans = [file.spans[group] for file in merged if group in file.spans]
        if not spans:
            continue
        start, stop = max(spans[0][0], growth.shards), spans[-1][0] + spans[-1][1]
        if stop > start:
            arrays = {c: read_rows(folder, commit, group, c, start, stop) for c in growth.columns}
            blocks[group] = (start, arrays)
    joined = (write_tail(folder / TAIL, name, blocks),) if blocks else ()
    return replace(commit, tail=(*files[:first], *joined))


def _live(file: TailFile, commit: Commit) -> bool:
    return any(start + count > commit.groups[group].shards for group, (start, count) in file.spans.items())


def _waste(file: TailFile, commit: Commit) -> int:
    """About how many bytes of a file belong to rows that are in shards by now."""
    wasted = total = 0.0
    for group, (start, count) in file.spans.items():
        columns = commit.groups[group].columns.values()
        row = sum(np.dtype(c.dtype).itemsize * int(np.prod(c.shape, dtype=np.int64)) for c in columns)
        total += row * count
        wasted += row * min(count, max(0, commit.groups[group].shards - start))
    return int(file.size * wasted / total) if total else 0


__all__ = ["cut_rows", "describe_array", "fill_of", "make_parents", "merge_tail", "move_rows", "rows_per_shard"]
