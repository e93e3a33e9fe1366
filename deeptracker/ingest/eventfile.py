"""Reads TensorBoard event files: records with checksums, protocol buffers inside. Every value is kept.

The few message types that scalars and histograms need are read here directly: TensorBoard's own loader brings
TensorFlow's stand-ins and a server along. Field numbers are those of ``event.proto``, ``summary.proto`` and
``tensor.proto``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from deeptracker.errors import InputError

Array = np.ndarray[Any, Any]
_MASK = 0xA282EAD8
_LARGEST = (1 << 64) - 1
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}  # of TensorFlow's DataType
_VALUES = {1: 5, 2: 6, 3: 7, 9: 10}  # the field of TensorProto that holds them where tensor_content does not


@dataclass(slots=True)
class Histogram:
    """A histogram as written: bucket borders (buckets + 1) and counts, and moments where they were written.

    ``total`` and ``square`` are NaN where the file gives buckets only.
    """

    low: float
    high: float
    count: float
    total: float
    square: float
    edges: Array
    counts: Array


@dataclass(slots=True)
class Value:
    """One value of one tag; ``kind`` names what it is where it is neither a scalar nor a histogram."""

    tag: str
    step: int
    wall_time: float
    value: float | Histogram | None
    kind: str = ""


class Truncated(InputError):
    """The file ends, or is damaged, inside a record; what came before it is good."""


def read_events(path: Path) -> Iterator[Value]:
    """Every value of an event file, in the order in which they were written.

    Raises
    ------
    Truncated
        After the last good record, where the file ends inside a record or a checksum is wrong.
    """
    plugins: dict[str, str] = {}
    for at, record in _records(path):
        try:
            values = _values(record, plugins)
        except (ArithmeticError, LookupError, TypeError, ValueError, struct.error):
            raise Truncated(f"{path.name}: holds at byte {at} what is no event") from None
        yield from values


def _values(record: bytes, plugins: dict[str, str]) -> list[Value]:
    step, wall_time, summaries = 0, float("nan"), []
    for field, value in _fields(record):
        if field == 1:
            wall_time = _double(value)
        elif field == 2:
            step = _signed(value)
        elif field == 5:
            summaries.append(value)
    items = [item for summary in summaries for field, item in _fields(summary) if field == 1]
    return [_value(item, step, wall_time, plugins) for item in items]


def is_event_file(path: Path) -> bool:
    """Whether a file begins with a record whose checksum is right."""
    with path.open("rb") as file:
        head = file.read(12)
    return len(head) == 12 and _checksum(head[:8]) == struct.unpack("<I", head[8:])[0]


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """(byte at which it begins, content) of each record."""
    whole = path.stat().st_size
    with path.open("rb") as file:
        while head := file.read(12):
            at = file.tell() - len(head)
            if len(head) < 12 or _checksum(head[:8]) != struct.unpack("<I", head[8:])[0]:
                raise Truncated(f"{path.name}: ends or is damaged at byte {at}")
            (size,) = struct.unpack("<Q", head[:8])
            # A size that the file cannot hold is not asked for: reading sets memory aside first.
            data, foot = file.read(min(size, whole)), file.read(4)
            if len(foot) < 4 or _checksum(data) != struct.unpack("<I", foot)[0]:
                raise Truncated(f"{path.name}: ends or is damaged at byte {at}")
            yield at, data


def _checksum(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def _varint(data: Any, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & _LARGEST, at
        shift += 7
        if shift > 63:  # no number has more: reading on would take a time that grows with its square
            raise ValueError("a number without end")


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a message: an int for varints, a memoryview for everything else."""
    data, at = memoryview(data), 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}[wire]
        yield key >> 3, data[at : at + size]
        at += size


def _double(data: Any) -> float:
    return float(struct.unpack("<d", data)[0])


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _value(data: Any, step: int, wall_time: float, plugins: dict[str, str]) -> Value:
    parts = dict(_fields(data))
    tag = str(parts.get(1, b""), "utf-8")
    if 9 in parts:  # metadata come with the first value of a tag only, and after the value
        plugins[tag] = _plugin(parts[9]) or plugins.get(tag, "")
    found: float | Histogram | None = None
    kind = "no value"
    if 2 in parts:
        found = float(struct.unpack("<f", parts[2])[0])
    elif 5 in parts:
        found = _histogram(parts[5])
    elif 8 in parts:
        plugin = plugins.get(tag, "")
        found, kind = _of_tensor(parts[8], plugin), plugin or "tensor"
    elif 4 in parts or 6 in parts:
        kind = "images" if 4 in parts else "audio"
    return Value(tag, step, wall_time, found, "" if found is not None else kind)


def _plugin(metadata: Any) -> str:
    for field, value in _fields(metadata):
        if field == 1:
            return next((str(name, "utf-8") for number, name in _fields(value) if number == 1), "")
    return ""


def _of_tensor(data: Any, plugin: str) -> float | Histogram | None:
    """What TensorFlow 2 and JAX write: scalars and histograms as tensors."""
    array = _tensor(data)
    if array is None or not array.size:
        return None
    if array.size == 1 and plugin in ("scalars", ""):
        return float(array.reshape(-1)[0])
    if plugin != "histograms" or array.size % 3:
        return None
    left, right, counts = array.reshape(-1, 3).astype(np.float64).T
    nan = float("nan")
    return Histogram(
        float(left[0]), float(right[-1]), float(counts.sum()), nan, nan, np.append(left, right[-1]), counts
    )


def _tensor(data: Any) -> Array | None:
    fields = list(_fields(data))
    dtype = next((value for number, value in fields if number == 1), 0)
    if dtype not in _DTYPES:
        return None
    content = next((value for number, value in fields if number == 4), None)
    if content is not None:
        return np.frombuffer(content, _DTYPES[dtype])
    return np.array([x for number, value in fields if number == _VALUES[dtype] for x in _numbers(value, dtype)])


def _numbers(value: Any, dtype: int) -> list[float]:
    """One repeated field, packed or not."""
    if isinstance(value, int):
        return [_signed(value)]
    if dtype in (1, 2):
        return np.frombuffer(value, _DTYPES[dtype]).tolist()
    out: list[float] = []
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        out.append(_signed(number))
    return out


def _histogram(data: Any) -> Histogram:
    """``HistogramProto``; the first bucket begins at the smallest value, the last ends at the largest."""
    numbers = dict.fromkeys(range(1, 6), 0.0)
    limits: list[float] = []
    counts: list[float] = []
    for field, value in _fields(data):
        if field <= 5:
            numbers[field] = _double(value)
        elif field in (6, 7):
            (limits if field == 6 else counts).extend(np.frombuffer(value, "<f8").tolist())
    low, high, count, total, square = (numbers[i] for i in range(1, 6))
    borders = np.array(limits)
    size = min(len(borders), len(counts))
    below = np.concatenate([[-np.inf], borders[: max(size - 1, 0)]])[:size]
    edges = np.append(np.clip(below, low, high), np.clip(borders[size - 1 : size], low, high))
    return Histogram(low, high, count, total, square, edges, np.array(counts[:size]))


def makes_sense(histogram: Histogram) -> bool:
    """Whether a histogram is one: counts that can be counted, borders in order."""
    borders, counts = np.asarray(histogram.edges, np.float64), np.asarray(histogram.counts, np.float64)
    numbers = [histogram.low, histogram.high, histogram.count]
    return bool(
        np.isfinite([*numbers, *borders, *counts]).all()
        and np.isfinite(histogram.square) != np.isnan(histogram.total)
        and 0 <= histogram.count < 2**53
        and (counts >= 0).all()
        and counts.sum() < 2**53
        and histogram.low <= histogram.high
        and (np.diff(borders) >= 0).all()
    )


__all__ = ["Histogram", "Truncated", "Value", "is_event_file", "makes_sense", "read_events"]
