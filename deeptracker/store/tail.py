"""Raw files of the tail: all new rows of all groups in one write, checksummed array by array.

Forty small appends to sharded arrays would cost a hundred times as much as one file. Layout: magic, length and
checksum of the header, JSON header, arrays aligned to 64 bytes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np

from deeptracker.errors import DamagedRunError
from deeptracker.store import plausible
from deeptracker.store.commit import TailFile
from deeptracker.store.place import Place

_MAGIC = b"DTTAIL1\n"
_ALIGN = 64
_PREFIX = struct.Struct("<8sII")
_HEADER_BYTES = 1 << 15
_SOUND = 4096
_sound: set[tuple[Place, Any, str, str]] = set()

Rows = Mapping[str, "np.ndarray[Any, Any]"]


def write_tail(folder: Place, name: str, blocks: Mapping[str, tuple[int, Rows]]) -> TailFile:
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
    size = (folder / name).write([prefix, text, *parts])
    return TailFile(name, size, spans)


@lru_cache(maxsize=1024)
def _header(path: Place, file: Any) -> tuple[int, dict[str, Any]]:
    """Where the arrays begin, and what they are; ``file`` tells one file at this path from another."""
    raw = path.read_part(0, _HEADER_BYTES)
    if len(raw) >= _PREFIX.size:
        magic, length, checksum = _PREFIX.unpack_from(raw)
        if magic == _MAGIC:
            text = raw[_PREFIX.size : _PREFIX.size + length]
            if len(text) < length and len(raw) == _HEADER_BYTES:
                text += path.read_part(_HEADER_BYTES, length - len(text))
            if len(text) == length and zlib.crc32(text) == checksum and (header := _understood(text)) is not None:
                return _PREFIX.size + length, header
    raise DamagedRunError(
        f"{path}: the header of this file of the tail is damaged: deeptracker verify {path.parent.parent} --repair"
    )


def _understood(text: bytes) -> dict[str, Any] | None:
    """A header, if it is one."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        return plausible.tail(plausible.parsed(text))
    return None


def read_tail(path: Place, run: str, group: str, variable: str) -> np.ndarray[Any, Any] | None:
    """Rows of one variable in a file; None where the file has none of it.

    Each array's checksum is compared, once a process where the file is mapped into memory.

    Raises
    ------
    FileNotFoundError
        The file is gone: its rows are elsewhere now.
    DamagedRunError
        The bytes are not what was written.
    """
    # A copy of a run that is deleted and made anew has files of the same names, and the same run in its marker.
    file = (run, *path.stamp()) if path.is_here else run
    base, header = _header(path, file)
    entry = header.get(group, {"arrays": {}})["arrays"].get(variable)
    if entry is None:
        return None
    shape = tuple(entry["shape"])
    if 0 in shape:
        return np.empty(shape, entry["dtype"])
    known = (path, file, group, variable)
    try:
        values = path.values(base + entry["offset"], entry["dtype"], shape)
        sound = known in _sound or zlib.crc32(values.reshape(-1).view(np.uint8).data) == entry["crc"]
    except (ValueError, OverflowError):  # it ends too early
        sound = False
    if not sound:
        raise DamagedRunError(
            f"{path}: rows of {group}/{variable} are damaged: deeptracker verify {path.parent.parent} names what "
            "else is"
        )
    if path.is_here:
        if len(_sound) >= _SOUND:
            _sound.clear()
        _sound.add(known)
    return values


def parts_of_tail(content: bytes) -> dict[tuple[str, str], tuple[int, memoryview]] | None:
    """What a file of the tail consists of: (group, variable) → the checksum that was written, and the bytes.

    None where the header is not what was written, or where there is more than zeros between the arrays.
    """
    if len(content) < _PREFIX.size:
        return None
    magic, length, checksum = _PREFIX.unpack_from(content)
    text = content[_PREFIX.size : _PREFIX.size + length]
    header = _understood(text) if magic == _MAGIC and len(text) == length and zlib.crc32(text) == checksum else None
    if header is None:
        return None
    view, at = memoryview(content)[_PREFIX.size + length :], 0
    parts = {}
    for group, block in header.items():
        for variable, entry in block["arrays"].items():
            size = int(np.prod(entry["shape"], dtype=np.int64)) * np.dtype(entry["dtype"]).itemsize
            parts[group, variable] = entry["crc"], view[entry["offset"] : entry["offset"] + size]
            if any(view[at : entry["offset"]]):
                return None
            at = entry["offset"] + size
    return None if any(view[at:]) else parts


def forget() -> None:
    """Drop what this process knows of checksums, so that the next read compares them again."""
    _header.cache_clear()
    _sound.clear()
