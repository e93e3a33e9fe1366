"""Protocol buffers made hostile: fields changed inside messages whose lengths stay right."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from hypothesis import strategies as st

from soak.hostile import changes, made

Field = tuple[int, int, bytes]
_DOUBLES = (0.0, -1.0, 1e308, -1e308, 1e-320, float("nan"), float("inf"), float("-inf"), 2.0**63, 1e19)


def fields(data: bytes) -> Iterator[Field]:
    """(number, wire type, content) of each field; ends where there is none."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            start = at
            _, at = _varint(data, at)
            yield key >> 3, wire, data[start:at]
            continue
        size = 0
        if wire == 2:
            size, at = _varint(data, at)
        size = {1: 8, 5: 4}.get(wire, size)
        yield key >> 3, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            break
    return value, at


def packed(parts: list[Field]) -> bytes:
    """A message of these fields."""
    out = b""
    for number, wire, content in parts:
        out += made.varint(number << 3 | wire)
        out += made.varint(len(content)) + content if wire == 2 else content
    return out


def of_message(draw: changes.Draw, data: bytes, depth: int = 0) -> bytes:
    """A field changed here, or in a message inside this one."""
    parts = list(fields(data))
    if not parts or draw(st.integers(0, 9)) == 0:
        return changes.of_bytes(draw, data)
    at = draw(st.integers(0, len(parts) - 1))
    number, wire, content = parts[at]
    kind = draw(st.integers(0, 7))
    if kind == 0:
        del parts[at]
    elif kind == 1:
        parts.append(parts[at])
    elif kind == 2:
        parts[at] = draw(st.integers(1, 10)), wire, content
    elif wire == 0:
        parts[at] = number, wire, made.varint(int(draw(st.sampled_from([0, 1, 2, 3, 9, 2**31, 2**63, 2**64 - 1]))))
    elif wire == 1:
        parts[at] = number, wire, struct.pack("<d", draw(st.sampled_from(_DOUBLES)))
    elif wire == 5:
        parts[at] = number, wire, struct.pack("<f", draw(st.sampled_from((0.0, -1.0, float("nan"), float("inf")))))
    elif kind > 3 and depth < 5:
        parts[at] = number, wire, of_message(draw, content, depth + 1)
    elif len(content) % 8 == 0 and kind == 3:
        numbers = draw(st.lists(st.sampled_from(_DOUBLES), max_size=5))
        parts[at] = number, wire, struct.pack(f"<{len(numbers)}d", *numbers)
    else:
        parts[at] = number, wire, draw(st.sampled_from(changes.TEXTS)).encode("utf-8", "surrogatepass")
    return packed(parts)


def event_file(draw: changes.Draw, data: bytes) -> bytes:
    """A file of several events of which some are hostile."""
    records = [draw(st.sampled_from(made.EVENTS)) for _ in range(draw(st.integers(1, 4)))]
    return made.framed([of_message(draw, one) if draw(st.booleans()) else one for one in records])


__all__ = ["event_file", "fields", "of_message", "packed"]
