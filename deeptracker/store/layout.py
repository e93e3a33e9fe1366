"""How arrays lie on disk: shards, inner chunks, codecs, fill values. No reading or writing here.

A run is a folder, or a prefix in a bucket: ``log.zarr`` is one Zarr v3 hierarchy; marker, tail, lock and what is
being made lie beside it, since a foreign file inside the hierarchy makes other Zarr tools warn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from zarr.codecs import BloscCodec, Crc32cCodec

SHARD_BYTES = 4 << 20
SHARD_ROWS = (16, 4096)
INNER = (64, 512)
BIN_ROWS = 16
PLAIN_CHUNK = 65_536
TABLE_CHUNK_BYTES = 1 << 20

LOG = "log.zarr"
COMMIT = "commit.json"
COPY = "commit.copy.json"
COPIES = "copies"
STAGES = "stages.json"
TAIL = "tail"
MAKING = "making"
LOCK = "lock"
ANALYSIS_LOCK = "analysis.lock"
SCRATCH = "scratch"

Codec = Literal["zstd", "lz4"]
CODECS: tuple[Codec, ...] = get_args(Codec)


@dataclass(frozen=True, slots=True)
class Grid:
    """Inner chunks of an array, the shards they are packed into (None: plain chunks), and how they are compressed.

    What is recorded stays for good, and is packed small. What is derived can be made again, and is read for the
    screen: LZ4 takes 3 to 7% more room, is written in a quarter of the time and read in a third of it.
    """

    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    codec: Codec = "zstd"

    @property
    def file_rows(self) -> int:
        """Rows along the first axis in one file."""
        return (self.shards or self.chunks)[0]


def shard_rows(row_bytes: int) -> int:
    """Rows of a group that make a shard: a power of two for which a variable's shard is about 4 MiB.

    Parameters
    ----------
    row_bytes : size of one row of the group's largest variable.
    """
    wanted = max(1, SHARD_BYTES // max(1, row_bytes))
    return min(max(1 << (wanted.bit_length() - 1), SHARD_ROWS[0]), SHARD_ROWS[1])


def is_plain(row_shape: tuple[int, ...], dims: tuple[str, ...]) -> bool:
    """Whether a growing array lies in plain chunks: they span many shards of its group, and are never thinned."""
    return not row_shape or "param_group" in dims


def growing_grid(
    row_shape: tuple[int, ...], rows_per_shard: int, dims: tuple[str, ...] = (), inner_rows: int | None = None
) -> Grid:
    """Grid of an array that grows along its first axis: whole rows in every shard, small inner chunks.

    Numbers (and a few of them, such as the learning rate of each parameter group) lie in plain, larger chunks: a
    shard of them would be a small file for every few thousand rows.
    """
    if is_plain(row_shape, dims):
        return Grid((PLAIN_CHUNK, *row_shape), None)
    inner: list[int] = []
    room = INNER[1]
    for size in reversed(row_shape):
        take = max(1, min(size, room))
        inner.insert(0, take)
        room = max(1, room // take)
    chunks = (min(inner_rows or INNER[0], rows_per_shard), *inner)
    whole = tuple(-(-max(size, 1) // chunk) * chunk for size, chunk in zip(row_shape, inner, strict=True))
    return Grid(chunks, (rows_per_shard, *whole))


def table_grid(shape: tuple[int, ...], item_bytes: int) -> Grid:
    """Grid of an array that is written whole: plain chunks of about 1 MiB along the first axis."""
    if not shape:
        return Grid((), None)
    row = max(1, item_bytes * int(np.prod(shape[1:], dtype=np.int64)))
    rows = PLAIN_CHUNK if len(shape) == 1 else max(1, TABLE_CHUNK_BYTES // row)
    return Grid((max(1, min(shape[0], rows)), *(max(1, size) for size in shape[1:])), None)


def stage_grid(shape: tuple[int, ...], item_bytes: int, first_axis_grows: bool) -> Grid:
    """Grid of a derived array: as a recorded one where it runs along time, else as a table."""
    if len(shape) < 2 or not first_axis_grows:
        return derived(table_grid(shape, item_bytes))
    row = item_bytes * int(np.prod(shape[1:], dtype=np.int64))
    return derived(growing_grid(shape[1:], shard_rows(row)))


def derived(grid: Grid) -> Grid:
    """The same grid for what can be made again."""
    return replace(grid, codec="lz4")


def encoding(dtype: np.dtype[Any], fill: object, grid: Grid) -> dict[str, Any]:
    """Arguments of ``zarr.create_array`` that every array of a run shares.

    The checksum comes after the compression: without it nearly every flipped bit would read as a wrong number.
    """
    shuffle: Literal["shuffle", "noshuffle"]
    shuffle = "shuffle" if dtype.kind in "iuf" and dtype.itemsize > 1 else "noshuffle"
    return {
        "dtype": dtype,
        "chunks": grid.chunks or "auto",
        "shards": grid.shards,
        "compressors": [BloscCodec(cname=grid.codec, clevel=1, shuffle=shuffle), Crc32cCodec()],
        "fill_value": fill,
        # A cell of fill values that was written is then told apart from a file that is missing.
        "config": {"write_empty_chunks": True},
    }
