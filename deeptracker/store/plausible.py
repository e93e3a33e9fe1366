"""What the metadata of a run may say, looked at before anything is made of it: a run may come from anywhere.

Names become paths below the run and nowhere else; sizes are such as a run can have; numbers are numbers. Whoever
reads turns the ``ValueError`` into words on the file at fault.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

MOST_ROWS = 1 << 48
FILE_BYTES = 1 << 36
"""Of a file of an array before it is packed: 16 rows of the largest layers take less."""
_LONGEST = 250
_AXES = 32
_DEEPEST = 60
_HEX = re.compile("[0-9a-f]{8}")


def parsed(raw: bytes) -> Any:
    """A JSON document; ValueError where it is none, holds half of a letter, or is nested without end."""
    try:
        document = json.loads(raw.decode())
        if b"\\u" in raw:  # written otherwise than by us: half a letter can be read, but never written
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return document


def _sure(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(what)


def _count(value: Any, most: int = MOST_ROWS) -> int:
    _sure(type(value) is int and 0 <= value <= most, "a number that is none, or too large")
    return int(value)


def _position(value: Any) -> None:
    _sure(value is None or (type(value) is int and -(2**63) <= value < 2**63), "no position")


def name(value: Any) -> str:
    """The name of one file or folder: never a path, never one that leads upwards."""
    _sure(isinstance(value, str) and len(value) > 0 and len(value.encode()) <= _LONGEST, "no name")
    _sure(value not in {".", "..", "zarr.json"} and not {"/", "\0"} & set(value), "a name that is a path")
    return str(value)


def path(value: Any) -> tuple[str, ...]:
    """The parts of a group's path, each a name."""
    _sure(isinstance(value, str) and len(value) <= 4 * _LONGEST, "no path of a group")
    return tuple(name(part) for part in value.split("/"))


def shape(value: Any) -> tuple[int, ...]:
    """Lengths of axes, none of them negative."""
    _sure(isinstance(value, list | tuple) and len(value) <= _AXES, "no shape")
    return tuple(_count(length) for length in value)


def dtype(value: Any) -> np.dtype[Any]:
    """A dtype of numbers."""
    _sure(isinstance(value, str), "no dtype")
    try:
        found = np.dtype(value)
    except Exception:  # NumPy parses texts: what it raises depends on where they stop to make sense
        raise ValueError("no dtype") from None
    _sure(found.kind in "biuf" and found.itemsize <= 8, "a dtype that no run has")
    return found


def attributes(value: Any) -> None:
    """A dictionary that is not nested without end."""
    _sure(isinstance(value, Mapping), "attributes that are none")
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inside = (v for one in level for v in (one.values() if isinstance(one, Mapping) else one))
        level = [one for one in inside if isinstance(one, Mapping | list)]
        if not level:
            return
    raise ValueError("nested too deeply")


def names(value: Any) -> list[str]:
    """Names of arrays, none of them a path."""
    _sure(isinstance(value, list | tuple), "no list of names")
    return [name(one) for one in value]


def commit(document: Any) -> Mapping[str, Any]:
    """A commit marker, as it is."""
    _sure(isinstance(document, dict), "no marker")
    _sure(all(isinstance(document[key], str) for key in ("run", "when")), "no text")
    _sure(isinstance(document["closed"], bool), "neither closed nor open")
    for key in ("generation", "cuts"):
        _count(document[key])
    attributes(document["attributes"])
    for group, version in document["tables"].items():
        path(group)
        _count(version)
    for group, checksum in document.get("copies", {}).items():
        _sure(group in document["tables"] and _HEX.fullmatch(checksum) is not None, "no copy of a table")
    rows = {group: _growth(group, entry) for group, entry in document["groups"].items()}
    for file in document["tail"]:
        name(file["name"])
        size = _count(file["size"], 1 << 62)
        for group, (start, count) in file["spans"].items():
            _sure(group in rows and _count(start) + _count(count) <= rows[group], "rows that no group has")
            _sure(8 * count <= size, "more rows than bytes")
    return document


def _growth(group: str, entry: Mapping[str, Any]) -> int:
    """Rows of a group."""
    path(group)
    axis, columns = entry["axis"], entry["columns"]
    most = _count(entry["shard_rows"], 1 << 24)
    rows = _count(entry["shards"]) + _count(entry["tail"])
    _sure(most > 0 and rows <= MOST_ROWS, "no number of rows")
    _sure((entry["first"] is None) == (entry["last"] is None) == (not rows), "rows without positions")
    _position(entry["first"])
    _position(entry["last"])
    sizes: dict[str, int] = {}
    for column, one in columns.items():
        name(column)
        dims, lengths = one["dims"], shape(one["shape"])
        _sure(isinstance(dims, list) and all(isinstance(dim, str) for dim in dims), "no names of axes")
        _sure(len(set(dims)) == len(dims) == len(lengths) + 1 and dims[0] == axis, "axes that do not fit")
        _sure(most * math.prod(lengths) * dtype(one["dtype"]).itemsize <= FILE_BYTES, "a row that is too large")
        for dim, length in zip(dims[1:], lengths, strict=True):
            _sure(sizes.setdefault(dim, length) == length, "axes of two lengths")
    _sure(not sizes.keys() & columns.keys() and axis not in sizes, "a variable that is called like an axis")
    _sure(
        axis in columns and not columns[axis]["shape"] and dtype(columns[axis]["dtype"]) == np.int64, "no positions"
    )
    for column, spans in entry.get("lost", {}).items():
        _sure(column in columns and all(_count(a) < _count(b) <= rows for a, b in spans), "no rows to be lost")
    thinned = entry.get("thinned")
    if thinned is not None:
        spans = [(_count(start), _count(stop), _count(size, 1 << 62)) for start, stop, size in thinned["spans"]]
        _sure(all(start < stop <= rows for start, stop, _ in spans), "no stretch of rows")
        _sure(all(one[1] <= other[0] for one, other in pairwise(spans)), "stretches that overlap")
        _sure(thinned["renewed"] is None or _count(thinned["renewed"]) >= 0, "no row")
    return rows


def stages(document: Any, known: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The stages that a marker names."""
    found = document["stages"]
    for stage, entry in found.items():
        _sure(stage in known, "a stage that there is not")
        attributes(entry)
        _count(entry["version"])
        _count(entry.get("generation", 0))
        _count(entry.get("schema_version", 1))
        for group, rows in entry["groups"].items():
            _sure(path(group)[0] == stage and "/" in group, "a group of another stage")
            _sure(_count(rows) > 0, "no number of rows")
        _sure(isinstance(entry.get("seconds", 0.0), int | float), "no number of seconds")
        _sure(all(isinstance(entry.get(key, ""), str) for key in ("when", "package_version")), "no text")
    return {stage: dict(entry) for stage, entry in found.items()}


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(one, str | int) for one in values)


def _numbers(values: Any) -> bool:
    return all(type(one) in (int, float) and math.isfinite(one) for one in values)


_EVENT: dict[str, Any] = {
    "rank": None, "kind": "anomaly", "cause": "unknown", "iteration": 0, "known_at": None, "end": None, "layers": [],
    "filters": [], "classes": [], "images": [], "false_per_1000": None, "evidence": [],
}  # fmt: skip


def event(text: str) -> dict[str, Any]:
    """An event of the JSON format; what it lacks is empty."""
    given = parsed(text.encode())
    _sure(isinstance(given, dict), "no event")
    document = {**_EVENT, **given}
    _sure(all(isinstance(document[key], str) for key in ("kind", "cause")), "an event without words")
    _sure(type(document["iteration"]) is int, "an event without place")
    for key in ("iteration", "rank", "known_at", "end"):
        _position(document[key])
    _sure(all(_texts(document[key]) for key in ("layers", "classes", "images")), "no list of names")
    rate = document["false_per_1000"]
    _sure(rate is None or _numbers([rate]), "no rate")
    for one in document["filters"]:
        _sure(isinstance(one["layer"], str) and type(one["channel"]) is int, "no filter")
        _sure(one["score"] is None or _numbers([one["score"]]), "no score")
    for one in document["evidence"]:
        _sure(all(isinstance(one[key], str) for key in ("text", "expression")), "no evidence")
    return document


def remark(entry: Any) -> dict[str, Any]:
    """A remark, as its class takes it."""
    _sure(isinstance(entry, dict) and type(entry["iteration"]) is int, "no remark")
    _position(entry["iteration"])
    words = [entry["kind"], entry["cause"], entry.get("note", ""), entry.get("when", "")]
    _sure(all(isinstance(word, str) for word in words), "no words")
    _sure(all(_texts(entry[key]) for key in ("layers", "classes")), "no names")
    _sure(entry.get("verdict") is None or isinstance(entry["verdict"], str), "no verdict")
    return {**entry, "layers": tuple(entry["layers"]), "classes": tuple(entry["classes"])}


def tail(header: Any) -> dict[str, Any]:
    """The header of a file of the tail: where arrays of numbers lie in it."""
    for block in header.values():
        for one in block["arrays"].values():
            items = math.prod(shape(one["shape"])) * dtype(one["dtype"]).itemsize
            _sure(items <= 1 << 62 and _count(one["offset"], 1 << 62) >= 0, "no place")
            _sure(type(one["crc"]) is int, "no checksum")
    return dict(header)


def description(file: tuple[int, ...], chunks: tuple[int, ...], lengths: tuple[int, ...], item: int) -> None:
    """The grid of an array: each of its files holds whole rows, its chunks are such as can be unpacked."""
    _sure(len(file) == len(lengths) and all(length <= MOST_ROWS for length in lengths), "a shape without sense")
    # Along an axis without values, such as learning rates where there is no optimizer, a chunk has no size either.
    _sure(len(file) == len(chunks) and all(n >= 1 for n in chunks[:1]), "chunks without size")
    _sure(all(n >= 1 or not m for n, m in zip(chunks, lengths, strict=True)), "chunks without size")
    _sure(all(n >= length for n, length in zip(file[1:], lengths[1:], strict=True)), "files of parts of rows")
    _sure(math.prod(chunks) * item < 1 << 31 and math.prod(file) * item <= FILE_BYTES, "chunks that are too large")


__all__ = [
    "FILE_BYTES", "attributes", "commit", "description", "dtype", "event", "name", "names", "parsed", "path",
    "remark", "shape",
    "stages", "tail",
]  # fmt: skip
