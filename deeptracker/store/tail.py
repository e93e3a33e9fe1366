"""Raw files of the tail: all new rows of all groups in one write, checksummed array by array.

Forty small appends to sharded arrays would cost a hundred times as much as one file. Layout: magic, length and
checksum of the header, JSON header, arrays aligned to 64 bytes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.errors import DamagedRunError
from deeptracker.store.commit import TailFile
from deeptracker.store.durable import write_file

_MAGIC = b"DTTAIL1\n"
_ALIGN = 64
_PREFIX = struct.Struct("<8sII")

Rows = Mapping[str, "np.ndarray[Any, Any]"]


def write_tail(folder: Path, name: str, blocks: Mapping[str, tuple[int, Rows]]) -> TailFile:
    """Write rows of several groups into one file, durably.

    Parameters
    ----------
    folder : the run's tail folder.
    name : name of the file, never used before by a commit of this run.
    blocks : group → (row at which its block starts, variable → array with rows along the first axis).
    """
    header: dict[str, Any] = {}
    parts: list[memoryview] = []
    offset = 0
    spans: dict[str, tuple[int, int]] = {}
    for group, (start, rows) in blocks.items():
        entries: dict[str, Any] = {}
        count = 0
        for variable, array in rows.items():
            block = np.ascontiguousarray(array)
            count = block.shape[0]
            view = block.reshape(-1).view(np.uint8).data
            entries[variable] = {
                "dtype": block.dtype.str,
                "shape": block.shape,
                "offset": offset,
                "crc": zlib.crc32(view),
            }
            padding = -view.nbytes % _ALIGN
            parts += [view, memoryview(bytes(padding))]
            offset += view.nbytes + padding
        header[group] = {"start": start, "arrays": entries}
        spans[group] = (start, count)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + _PREFIX.size) % _ALIGN)
    prefix = _PREFIX.pack(_MAGIC, len(text), zlib.crc32(text))
    size = write_file(folder / name, [prefix, text, *parts])
    return TailFile(name, size, spans)


@lru_cache(maxsize=1024)
def _header(path: Path, run: str) -> tuple[int, dict[str, Any]]:
    with open(path, "rb") as file:
        prefix = file.read(_PREFIX.size)
        if len(prefix) == _PREFIX.size:
            magic, length, checksum = _PREFIX.unpack(prefix)
            if magic == _MAGIC:
                text = file.read(length)
                if len(text) == length and zlib.crc32(text) == checksum:
                    return _PREFIX.size + length, json.loads(text)
    raise DamagedRunError(f"{path}: the header of this file of the tail is damaged: deeptracker verify RUN --repair")


@lru_cache(maxsize=4096)
def _verified(path: Path, run: str, group: str, variable: str) -> tuple[int, tuple[int, ...], str] | None:
    base, header = _header(path, run)
    entry = header.get(group, {"arrays": {}})["arrays"].get(variable)
    if entry is None:
        return None
    shape, dtype = tuple(entry["shape"]), entry["dtype"]
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    with open(path, "rb") as file:
        file.seek(base + entry["offset"])
        raw = file.read(size)
    if len(raw) != size or zlib.crc32(raw) != entry["crc"]:
        raise DamagedRunError(
            f"{path}: rows of {group}/{variable} are damaged: deeptracker verify RUN names what else is"
        )
    return base + entry["offset"], shape, dtype


def read_tail(path: Path, run: str, group: str, variable: str) -> np.ndarray[Any, Any] | None:
    """Rows of one variable in a file, mapped into memory; None where the file has none of it.

    Each array's checksum is compared once a process.

    Raises
    ------
    FileNotFoundError
        The file is gone: its rows are elsewhere now.
    DamagedRunError
        The bytes are not what was written.
    """
    found = _verified(path, run, group, variable)
    if found is None:
        return None
    offset, shape, dtype = found
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)


def forget() -> None:
    """Drop what this process knows of checksums, so that the next read compares them again."""
    _header.cache_clear()
    _verified.cache_clear()
