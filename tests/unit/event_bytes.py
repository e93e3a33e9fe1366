"""Writes TensorBoard event files byte by byte, from the format's description alone: records, CRC-32C, varints."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

_TABLE = []
for _byte in range(256):
    _value = _byte
    for _ in range(8):
        _value = (_value >> 1) ^ (0x82F63B78 if _value & 1 else 0)  # Castagnoli, bits reversed
    _TABLE.append(_value)


def masked(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    size = struct.pack("<Q", len(data))
    return size + masked(size) + data + masked(data)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def whole(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def double(field: int, value: float) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<d", value)


def event(step: int, *values: bytes, wall_time: float = 1.5e9) -> bytes:
    summary = b"".join(chunk(1, value) for value in values)
    return double(1, wall_time) + whole(2, step) + (chunk(5, summary) if values else chunk(3, b"brain.Event:2"))


def scalar(tag: str, value: float) -> bytes:
    return chunk(1, tag.encode()) + varint(2 << 3 | 5) + struct.pack("<f", value)


def histogram(
    tag: str, low: float, high: float, total: float, square: float, limits: list[float], counts: list[int]
) -> bytes:
    content = double(1, low) + double(2, high) + double(3, sum(counts)) + double(4, total) + double(5, square)
    content += chunk(6, struct.pack(f"<{len(limits)}d", *limits)) + chunk(7, struct.pack(f"<{len(counts)}d", *counts))
    return chunk(1, tag.encode()) + chunk(5, content)


def tensor(tag: str, plugin: str, dtype: int, content: bytes, first: bool = True) -> bytes:
    """A value of TensorFlow 2; the plugin's name comes with the first value of a tag only, after the value."""
    metadata = chunk(9, chunk(1, chunk(1, plugin.encode()))) if first else b""
    return chunk(1, tag.encode()) + chunk(8, whole(1, dtype) + chunk(4, content)) + metadata


def write(path: Path, events: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(record(data) for data in (event(0), *events)))
    return path
