"""Whether the bytes of one file are what was written: its checksums compared, nothing unpacked."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from itertools import product

import google_crc32c
import numpy as np
import numpy.typing as npt

from deeptracker.store.described import Description

_EMPTY = 2**64 - 1
_CRC = 4


def files_of(described: Description, rows: int | None = None) -> Iterator[tuple[int, ...]]:
    """Places in the grid of the files that an array consists of.

    Parameters
    ----------
    rows : along the first axis, where the metadata lag behind.
    """
    shape = described.shape if rows is None else (rows, *described.shape[1:])
    if 0 not in shape:
        yield from product(*(range(-(-n // size)) for n, size in zip(shape, described.file_shape, strict=True)))


def file_name(place: tuple[int, ...]) -> tuple[str, ...]:
    """Names from the folder of an array down to one of its files."""
    return ("c", *map(str, place))


def damaged_rows(described: Description, content: bytes) -> npt.NDArray[np.bool_]:
    """Which rows of a file (along the first axis) have a chunk that is not what was written: (rows of a file,).

    Bytes that belong to no chunk condemn the whole file: nobody wrote them.
    """
    rows = described.file_shape[0] if described.file_shape else 1
    lost = np.zeros(rows, bool)
    if described.shards is None:
        lost[:] = not _fits(memoryview(content))
        return lost
    grid = tuple(size // chunk for size, chunk in zip(described.shards, described.chunks, strict=True))
    entries = _index(content, math.prod(grid))
    if entries is None:
        lost[:] = True
        return lost
    per_row = math.prod(grid[1:])
    view = memoryview(content)
    for number in np.flatnonzero(entries[:, 0] != _EMPTY):
        offset, length = map(int, entries[number])
        if not _fits(view[offset : offset + length]):
            first = int(number) // per_row * described.chunks[0]
            lost[first : first + described.chunks[0]] = True
    return lost


def _index(content: bytes, chunks: int) -> npt.NDArray[np.uint64] | None:
    """Offset and length of every chunk of a shard; None where it is damaged, or leaves bytes over."""
    size = 16 * chunks
    packed = content[-size - _CRC :]
    if len(packed) != size + _CRC or not _fits(memoryview(packed)):
        return None
    entries = np.frombuffer(packed, "<u8", 2 * chunks).reshape(chunks, 2)
    used = entries[entries[:, 0] != _EMPTY]
    ends = np.sort(used[:, 0]), np.sort(used[:, 0] + used[:, 1])
    whole = len(content) - size - _CRC
    begins = np.concatenate([[np.uint64(0)], ends[1]]).astype(np.uint64)
    adjacent = bool((begins[:-1] == ends[0]).all()) and int(begins[-1]) == whole
    return entries if adjacent else None


def _fits(packed: memoryview) -> bool:
    if len(packed) <= _CRC:
        return False
    (said,) = struct.unpack("<I", packed[-_CRC:])
    return bool(google_crc32c.value(bytes(packed[:-_CRC])) == said)


__all__ = ["damaged_rows", "file_name", "files_of"]
