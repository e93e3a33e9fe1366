"""Parts of shards, read by their inner chunks: what a screen asks for is a few of them in each of many files.

Zarr's own pipeline takes milliseconds a shard for this, zarrs compares no checksum of a chunk that it reads in part.
Here a file is opened once, its index and the wanted chunks are read, every checksum is compared.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numcodecs.vlen import VLenUTF8

from deeptracker.store.described import Description

_TEXTS = VLenUTF8()
_EMPTY = 2**64 - 1
_MOST_TEXT = 1 << 29
_ENTRY = struct.Struct("<QQ")
_offset = itemgetter(0)
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

Slices = tuple[slice, ...]
Wanted = list[tuple[int, Slices, Slices]]
"""Of each wanted chunk of a file: its number in the index, what is taken of it, and where that goes."""
Found = tuple[int, int, Slices, Slices]
"""Offset and size of a chunk in its file, what is taken of it, and where that goes."""


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
        self._strides = [math.prod(self.grid[axis + 1 :]) for axis in range(len(self.grid))]
        self._index_bytes = 16 * math.prod(self.grid) + 4
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
        plans: dict[range, Wanted] = {}  # most files are wanted whole: the same of each
        for number in files:
            first = number * self.rows
            here = range(max(rows.start, first) - first, min(rows.stop, first + self.rows) - first)
            if here not in plans:
                plans[here] = self._wanted([here, *spans])
            begin = first + here.start - rows.start
            self._file(number, plans[here], out[begin : begin + len(here)])

    def _wanted(self, axes: list[range]) -> Wanted:
        wanted = []
        chunks = [range(a.start // c, (a.stop - 1) // c + 1) for a, c in zip(axes, self.chunk, strict=True)]
        for place in product(*chunks):
            take, put = [], []
            for number, axis, size in zip(place, axes, self.chunk, strict=True):
                low, high = max(axis.start, number * size), min(axis.stop, (number + 1) * size)
                take.append(slice(low - number * size, high - number * size))
                put.append(slice(low - axis.start, high - axis.start))
            number = sum(at * stride for at, stride in zip(place, self._strides, strict=True))
            wanted.append((number, tuple(take), tuple(put)))
        return wanted

    def _file(self, number: int, wanted: Wanted, out: np.ndarray[Any, Any]) -> None:
        path = f"{self._before}{number}{self._after}"
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise ValueError(f"the file of rows from {number * self.rows} is missing") from None
        try:
            size = os.fstat(handle).st_size
            if self.plain:
                _, take, put = wanted[0]
                out[put] = self._decode(memoryview(os.pread(handle, size, 0)), path)[take]
                return
            index = self._index(handle, size, path)
            found: list[Found] = []
            for chunk, take, put in wanted:
                offset, length = _ENTRY.unpack_from(index, 16 * chunk)
                if offset == _EMPTY:
                    out[put] = self.fill
                else:
                    found.append((offset, length, take, put))
            for run in _adjacent(sorted(found, key=_offset)):
                start, stop = run[0][0], run[-1][0] + run[-1][1]
                block = memoryview(os.pread(handle, stop - start, start))
                for offset, length, take, put in run:
                    out[put] = self._decode(block[offset - start : offset - start + length], path)[take]
        finally:
            os.close(handle)

    def _index(self, handle: int, size: int, path: str) -> bytes:
        """Offset and size of every inner chunk; it ends the file."""
        packed = os.pread(handle, self._index_bytes, max(0, size - self._index_bytes))
        if len(packed) < self._index_bytes or google_crc32c.value(packed[:-4]) != int.from_bytes(
            packed[-4:], "little"
        ):
            raise ValueError(f"{path}: the checksum of the shard's index does not match")
        return packed

    def _decode(self, packed: memoryview, path: str) -> np.ndarray[Any, Any]:
        if len(packed) < 5 or google_crc32c.value(bytes(packed[:-4])) != int.from_bytes(packed[-4:], "little"):
            raise ValueError(f"{path}: the checksum of a chunk does not match")
        if self.texts:
            return self._decode_texts(packed[:-4], path)
        values = np.empty(self.chunk, self.dtype)
        # A chunk that holds less would leave what was in that memory before.
        if _unpacked(packed) != values.nbytes:
            raise ValueError(f"{path}: a chunk is not of the size that the metadata say")
        blosc.decompress(packed[:-4], values)
        return values

    def _decode_texts(self, packed: memoryview, path: str) -> np.ndarray[Any, Any]:
        count = math.prod(self.chunk)
        if _unpacked(packed) > _MOST_TEXT:
            raise ValueError(f"{path}: texts of more than {_MOST_TEXT:,} bytes")
        content = blosc.decompress(packed)
        # Each text takes its length at least; memory for all of them is set aside first.
        if len(content) < 4 * (1 + count) or int.from_bytes(content[:4], "little") != count:
            raise ValueError(f"{path}: a chunk has not as many texts as the metadata say")
        texts: np.ndarray[Any, Any] = _TEXTS.decode(content)
        return texts.reshape(self.chunk)


def _unpacked(packed: memoryview) -> int:
    """Bytes that a packed chunk says it holds."""
    if len(packed) < 16:
        raise ValueError("a chunk is cut off")
    return int.from_bytes(packed[4:8], "little")


def _adjacent(found: list[Found]) -> Iterator[list[Found]]:
    """Chunks that lie so close together that they are read at once; ``found`` is sorted by offset."""
    start = 0
    for i in range(1, len(found) + 1):
        if i == len(found) or found[i][0] - (found[i - 1][0] + found[i - 1][1]) > _GAP:
            yield found[start:i]
            start = i


__all__ = ["Inner"]
