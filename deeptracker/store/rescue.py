"""What can still be read of damaged rows: the sound chunks of a file, the sound arrays of the tail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from deeptracker.errors import DamagedRunError
from deeptracker.store.arrays import RowFiles
from deeptracker.store.commit import Commit, Growth
from deeptracker.store.layout import LOG, TAIL
from deeptracker.store.place import Place
from deeptracker.store.positions import positions
from deeptracker.store.shards import fill_of
from deeptracker.store.tail import read_tail, write_tail

Spans = list[tuple[int, int]]
Lost = dict[str, dict[str, Spans]]
"""Of each group, of each variable: rows [start, stop) that cannot be read."""
_MOST_BYTES = 4 << 30


def rescue_file(files: RowFiles, first: int, stop: int, fill: Any) -> tuple[np.ndarray[Any, Any], Spans]:
    """Rows [first, stop) of one file, with ``fill`` where a chunk cannot be read; and the rows where that is."""
    rows = np.full((stop - first, *files.row_shape), fill, files.dtype)
    lost = np.zeros(stop - first, bool)
    chunk, *others = files.described.chunks
    grid = [[slice(a, min(a + c, n)) for a in range(0, n, c)] for n, c in zip(files.row_shape, others, strict=True)]
    for begin in range(first, stop, chunk):
        end = min(begin + chunk, stop)
        for rest in product(*grid):
            where = (slice(begin - first, end - first), *rest)
            try:
                rows[where] = files.read(slice(begin, end), rest)
            except DamagedRunError:
                lost[where[0]] = True
    return rows, stretches(lost, first)


def rescue_tail(folder: Place, commit: Commit, bad: set[str]) -> tuple[Commit, Lost, int]:
    """Every row of the tail that can be read, in one new file.

    Parameters
    ----------
    bad : names of files of which nothing can be read.

    Returns
    -------
    The state that says so (not saved), what is missing, and how many rows were left out: their positions are unknown.
    """
    blocks, lost, dropped = {}, {}, 0
    if _bytes_of_tail(commit) > _MOST_BYTES:
        raise DamagedRunError(f"{folder}: the tail is too large to be repaired: restore it from a copy of the run")
    for group, growth in commit.groups.items():
        if not growth.tail:
            continue
        rows, gone = _of_tail(folder, commit, group, bad)
        count = len(rows[growth.axis])
        dropped += growth.tail - count
        last = int(rows[growth.axis][-1]) if count else _last(folder, group, growth)
        first = growth.first if growth.shards or not count else int(rows[growth.axis][0])
        growth = replace(growth, tail=count, last=last, first=None if last is None else first)
        commit = commit.with_group(group, growth)
        lost[group] = gone
        if count:
            blocks[group] = (growth.shards, rows)
    name = f"{commit.generation + 1:09d}.tail"
    tail = (write_tail(folder / TAIL, name, blocks),) if blocks else ()
    return replace(commit, tail=tail, cuts=commit.cuts + 1), lost, dropped


def losing(commit: Commit, group: str, lost: Mapping[str, Iterable[tuple[int, int]]]) -> Commit:
    """The state that says that rows [start, stop) of variables of a group are lost."""
    growth = commit.groups[group]
    every = {name: merged([*growth.lost.get(name, ()), *spans]) for name, spans in lost.items()}
    known = {name: spans for name, spans in sorted({**growth.lost, **every}.items()) if spans}
    return commit.with_group(group, replace(growth, lost=known))


def _bytes_of_tail(commit: Commit) -> int:
    return sum(
        growth.tail * prod(column.shape) * np.dtype(column.dtype).itemsize
        for growth in commit.groups.values()
        for column in growth.columns.values()
    )


def _last(folder: Place, group: str, growth: Growth) -> int | None:
    if not growth.shards:
        return None
    files = RowFiles(folder.joinpath(LOG, group, growth.axis))
    return int(files.read(slice(growth.shards - 1, growth.shards), ())[0])


def _of_tail(
    folder: Place, commit: Commit, group: str, bad: set[str]
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Spans]]:
    """Rows of a group in the tail, without those of unknown position; and what is missing of them."""
    growth = commit.groups[group]
    values = {
        name: np.full((growth.tail, *column.shape), fill_of(group, name, growth), column.dtype)
        for name, column in growth.columns.items()
    }
    there = {name: np.zeros(growth.tail, bool) for name in growth.columns}
    for file in commit.tail:
        start, count = file.spans.get(group, (0, 0))
        begin = max(start, growth.shards)
        part = slice(begin - growth.shards, start + count - growth.shards)
        if part.stop <= part.start or file.name in bad:
            continue
        for name in growth.columns:
            with suppress(OSError, DamagedRunError):
                block = read_tail(folder / TAIL / file.name, commit.run, group, name)
                if block is not None:  # else it is not in the file, and reads as missing as ever
                    values[name][part] = block[begin - start :]
                there[name][part] = True
    axis = growth.axis
    if not there[axis].all() and (known := positions(folder, commit, group, growth.shards, growth.rows)) is not None:
        values[axis], there[axis] = known, np.ones(growth.tail, bool)
    keep = there[axis]
    gone = {name: stretches(~there[name][keep], growth.shards) for name in growth.columns if name != axis}
    return {name: array[keep] for name, array in values.items()}, {n: spans for n, spans in gone.items() if spans}


def stretches(mask: np.ndarray[Any, Any], first: int) -> Spans:
    """Stretches [start, stop) of a mask whose first entry is row ``first``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))) + first
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def merged(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    out: Spans = []
    for start, stop in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(stop, out[-1][1]))
        else:
            out.append((start, stop))
    return tuple(out)


__all__ = ["Lost", "losing", "rescue_file", "rescue_tail", "stretches"]
