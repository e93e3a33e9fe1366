"""Parts of shards, read by their inner chunks: what a screen asks for is a few of them in each of many files.

Zarr's own pipeline takes milliseconds a shard for this, zarrs compares no checksum of a chunk that it reads in part.
Here a file is opened once, its index and the wanted chunks are read, every checksum is compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numcodecs.vlen import VLenUTF8

from deeptracker.store.described import Description

_TEXTS = VLenUTF8()
_EMPTY = 2**64 - 1
_GAP = 16 << 10
"""Bytes between two wanted chunks that are read along rather than asked around."""
_THREADS = 2
_FILES_A_THREAD = 8
_pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="deeptracker-chunks")


def _renew() -> None:
    """A forked process has the pool, but none of its threads."""
    global _pool
    _pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="deeptracker-chunks")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

Found = tuple[int, int, tuple[int, ...]]
"""Offset, size and place of a chunk in its shard."""


class Inner:
    """The inner chunks of one array on a local disk.

    Parameters
    ----------
    described : the array, of a ``packing`` that is known.
    folder : of the array.
    """

    def __init__(self, described: Description, folder: Path) -> None:
        shards = described.file_shape
        self.chunk = described.chunks
        self.plain = described.shards is None
        """One chunk is one file, without an index."""
        self.grid = tuple(size // chunk for size, chunk in zip(shards, self.chunk, strict=True))
        self.rows = shards[0]
        self.dtype, self.fill, self.texts = described.dtype, described.fill, described.packing == "texts"
        # Texts, not paths: there are hundreds of files a read.
        self._before, self._after = f"{folder}/c/", "/0" * (len(shards) - 1)

    def read(self, rows: range, rest: tuple[slice, ...], row_shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Rows of the array, of the other axes only what ``rest`` (slices of step 1) says.

        Parameters
        ----------
        rows : consecutive row numbers, at least one.
        rest, row_shape : a slice for each other axis, and its length.

        Raises
        ------
        ValueError, OSError
            Bytes are not what was written, or a file is missing.
        """
        spans = [range(*part.indices(size)) for part, size in zip(rest, row_shape, strict=True)]
        out = np.empty((len(rows), *map(len, spans)), self.dtype)
        if out.size == 0:
            return out
        files = range(rows.start // self.rows, (rows.stop - 1) // self.rows + 1)
        if len(files) < _FILES_A_THREAD:
            self._files(files, rows, spans, out)
            return out
        # Interleaved, so that both threads have as much to do.
        work = [_pool.submit(self._files, files[i::_THREADS], rows, spans, out) for i in range(_THREADS)]
        for one in work:
            one.result()
        return out

    def _files(self, files: range, rows: range, spans: list[range], out: np.ndarray[Any, Any]) -> None:
        for number in files:
            first = number * self.rows
            here = range(max(rows.start, first), min(rows.stop, first + self.rows))
            part = out[here.start - rows.start : here.stop - rows.start]
            self._shard(number, range(here.start - first, here.stop - first), spans, part)

    def _shard(self, number: int, rows: range, spans: list[range], out: np.ndarray[Any, Any]) -> None:
        path = f"{self._before}{number}{self._after}"
        axes = [rows, *spans]
        places = [range(a.start // c, (a.stop - 1) // c + 1) for a, c in zip(axes, self.chunk, strict=True)]
        wanted = list(product(*places))
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise ValueError(f"the file of rows from {number * self.rows} is missing") from None
        try:
            if self.plain:
                packed = memoryview(os.pread(handle, os.fstat(handle).st_size, 0))
                self._put(self._decode(packed, path), wanted[0], axes, out)
                return
            index = _index(handle, self.grid, path)
            found: list[Found] = []
            for place in wanted:
                offset, size = (int(number) for number in index[place])
                if offset == _EMPTY:
                    self._put(np.full(self.chunk, self.fill, self.dtype), place, axes, out)
                else:
                    found.append((offset, size, place))
            for run in _adjacent(sorted(found)):
                start, stop = run[0][0], run[-1][0] + run[-1][1]
                block = memoryview(os.pread(handle, stop - start, start))
                for offset, size, place in run:
                    values = self._decode(block[offset - start : offset - start + size], path)
                    self._put(values, place, axes, out)
        finally:
            os.close(handle)

    def _decode(self, packed: memoryview, path: str) -> np.ndarray[Any, Any]:
        if len(packed) < 5 or google_crc32c.value(bytes(packed[:-4])) != int.from_bytes(packed[-4:], "little"):
            raise ValueError(f"{path}: the checksum of a chunk does not match")
        if self.texts:
            texts: np.ndarray[Any, Any] = _TEXTS.decode(blosc.decompress(packed[:-4]))
            return texts.reshape(self.chunk)
        values = np.empty(self.chunk, self.dtype)
        blosc.decompress(packed[:-4], values)
        return values

    def _put(
        self, values: np.ndarray[Any, Any], place: tuple[int, ...], axes: list[range], out: np.ndarray[Any, Any]
    ) -> None:
        """Copy what is wanted of one chunk into its place."""
        take, put = [], []
        for number, axis, size in zip(place, axes, self.chunk, strict=True):
            low, high = max(axis.start, number * size), min(axis.stop, (number + 1) * size)
            take.append(slice(low - number * size, high - number * size))
            put.append(slice(low - axis.start, high - axis.start))
        out[tuple(put)] = values[tuple(take)]


def _index(handle: int, grid: tuple[int, ...], path: str) -> np.ndarray[Any, Any]:
    """Offset and size of every inner chunk, shape (grid, 2); it ends the file."""
    length = 16 * int(np.prod(grid)) + 4
    size = os.fstat(handle).st_size
    packed = os.pread(handle, length, max(0, size - length))
    if len(packed) < length or google_crc32c.value(packed[:-4]) != int.from_bytes(packed[-4:], "little"):
        raise ValueError(f"{path}: the checksum of the shard's index does not match")
    return np.frombuffer(packed[:-4], "<u8").reshape(*grid, 2)


def _adjacent(found: list[Found]) -> Iterator[list[Found]]:
    """Chunks that lie so close together that they are read at once; ``found`` is sorted by offset."""
    start = 0
    for i in range(1, len(found) + 1):
        if i == len(found) or found[i][0] - (found[i - 1][0] + found[i - 1][1]) > _GAP:
            yield found[start:i]
            start = i


__all__ = ["Inner"]
