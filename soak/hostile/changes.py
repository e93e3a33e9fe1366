"""How a sound input is made hostile: Hypothesis draws what is changed, where, and what stands there then."""

from __future__ import annotations

import copy
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Change = Callable[[Draw, bytes], bytes]

NUMBERS = (0, -1, 1, 2, 7, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**40, 2**53 + 1, 2**60, 2**63 - 1, 2**63, 2**64,
           -(2**63),
           10**30, 0.5, -0.5, 1e300, 1e-320, float("nan"), float("inf"), float("-inf"))  # fmt: skip
TEXTS = ("", ".", "..", "../../x", "/etc/passwd", "a/b", "a\\b", "c", "zarr.json", "commit.json", "nul\0l",
         "line\nline",
         "\x1b[31mred\x1b[0m", "\u202eright", "\ud800", "x" * 300, "iteration", "channel", "layer", "filter", "class",
         "weight", "nan", "1e999", "O", "V8", "object", "U99999999", "M8[s]", "s3://x/y", "<script>", "é" * 90,
         "[bold]", "%s%n", "{0.__class__}", "conv1.weight", "conv1.bias", "epoch", "momentum", "float16", "int64",
         "iteration_bin", "image", "validation")  # fmt: skip
_ODD: tuple[Any, ...] = (
    *NUMBERS,
    *TEXTS,
    None,
    True,
    False,
    [],
    {},
    [[]],
    [0],
    [-1],
    [2**60],
    ["x"],
    [2, 2],
    {"x": 1},
)


def _place(draw: Draw, data: bytes | list[Any]) -> int:
    return draw(st.integers(0, max(0, len(data) - 1)))


def of_bytes(draw: Draw, data: bytes) -> bytes:
    """Flips, cuts, insertions, repetitions, and lengths that are far too large."""
    kind, at = draw(st.integers(0, 6)), _place(draw, data)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + draw(st.binary(max_size=12)) + data[at:]
    if kind == 2:
        return data[:at] + data[at + draw(st.integers(1, 64)) :]
    if kind == 3:
        return data[: at + 40] + data[at:]
    if kind == 4:
        size = draw(st.sampled_from("BHIQq"))
        number = draw(st.sampled_from([0, 1, 2**7, 2**15 - 1, 2**31 - 1, 2**32 - 1, 2**62, 2**63 - 1]))
        packed = struct.pack(f"<{size}", number & (1 << (8 * struct.calcsize(size) - 1)) - 1)
        return data[:at] + packed + data[at + len(packed) :]
    if kind == 5:
        return data[:at] + draw(st.sampled_from(TEXTS)).encode("utf-8", "surrogatepass") + data[at:]
    return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]


def _nodes(document: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of everything inside a document."""
    stack = [document]
    while stack:
        holder = stack.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                stack.append(holder[key])


def of_json(draw: Draw, data: bytes) -> bytes:
    """Values of another kind or size, keys renamed, left out, given twice, things inside one another without end."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return of_bytes(draw, data)
    nodes = list(_nodes(document)) if isinstance(document, dict | list) else []
    if not nodes:
        return json.dumps(draw(st.sampled_from(_ODD))).encode("utf-8", "replace")
    holder, key = nodes[_place(draw, nodes)]
    kind = draw(st.integers(0, 9))
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[draw(st.sampled_from(TEXTS))] = holder.pop(key)
    elif kind == 2 and isinstance(holder, dict):
        holder[draw(st.sampled_from(TEXTS))] = copy.deepcopy(holder[key])
    elif kind == 3:
        other, name = nodes[_place(draw, nodes)]
        holder[key] = copy.deepcopy(other[name])
    elif kind == 4 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == 5 and draw(st.integers(0, 9)) == 0:
        deep = draw(st.sampled_from([50, 2000, 100_000]))
        text = json.dumps(document).encode()
        return text.replace(json.dumps(holder[key]).encode(), b"[" * deep + b"]" * deep, 1)
    elif kind == 6 and type(holder[key]) is int:
        holder[key] += draw(st.sampled_from([-1, 1, 2, -2, 100]))
    else:
        holder[key] = draw(st.sampled_from(_ODD))
    return json.dumps(document).encode("utf-8", "surrogatepass")


def of_lines(draw: Draw, data: bytes) -> bytes:
    """A document in one line of several."""
    lines = data.split(b"\n")
    at = _place(draw, lines)
    lines[at] = of_json(draw, lines[at])
    return b"\n".join(lines)


def behind(size: int, change: Change) -> Change:
    """Leaves the first bytes as they are: they choose what the others are of."""

    def changed(draw: Draw, data: bytes) -> bytes:
        return data[:size] + change(draw, data[size:])

    return changed


def of_safetensors(draw: Draw, data: bytes) -> bytes:
    """A header whose length is right."""
    if draw(st.integers(0, 5)) == 0:
        return of_bytes(draw, data)
    length = int.from_bytes(data[:8], "little")
    text = of_json(draw, data[8 : 8 + length])
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


_WORD = re.compile(rb"[A-Za-z_]+|-?\d+(?:\.\d+)?|[^\sA-Za-z_\d]")


def of_text(draw: Draw, data: bytes) -> bytes:
    """Words of a text replaced by others, its own or odd ones."""
    words = list(_WORD.finditer(data))
    if not words or draw(st.integers(0, 4)) == 0:
        return of_bytes(draw, data)
    word = words[_place(draw, words)]
    if draw(st.booleans()):
        other = words[_place(draw, words)].group()
    else:
        other = str(draw(st.sampled_from(NUMBERS + TEXTS))).encode("utf-8", "surrogatepass")
    return data[: word.start()] + other + data[word.end() :]


_HEADER = re.compile(rb"'descr': '[^']*'|\([\d, ]*\)|True|False")
_HEADERS = (b"'descr': '|O'", b"'descr': '<f4'", b"'descr': '<U4'", b"'descr': '<c16'", b"'descr': '<M8[s]'", b"True",
            b"'descr': '|V9'", b"'descr': '<f2'", b"'descr': '<i8'", b"'descr': '|S3'", b"'descr': '|b1'", b"()",
            b"(0,)",
            b"'descr': [('a', '<f4')]", b"'descr': '<f16'", b"'descr': '<u8'", b"(-1,)", b"(1152921504606846976,)",
            b"(2, 3)",
            b"(4294967296, 4294967296)", b"(0, 1152921504606846976)", b"(24,)", b"(1, 1, 1, 24)")  # fmt: skip


def _of_member(draw: Draw, name: str, content: bytes) -> bytes:
    """A file of an archive: of a NumPy array rather the header, whose length stays right."""
    found = list(_HEADER.finditer(content[:256])) if name.endswith(".npy") else []
    if not found or draw(st.integers(0, 3)) == 0:
        return of_bytes(draw, content)
    part = found[_place(draw, found)]
    size = int.from_bytes(content[8:10], "little")
    text = content[10 : part.start()] + draw(st.sampled_from(_HEADERS)) + content[part.end() : 10 + size]
    text = text.rstrip() + b"\n"
    return content[:8] + len(text).to_bytes(2, "little") + text + content[10 + size :]


def of_zip(draw: Draw, data: bytes) -> bytes:
    """Files of an archive changed, renamed, left out, twice; or any bytes of it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:
        return of_bytes(draw, data)
    kind = draw(st.integers(0, 6))
    if kind == 0 or not members:
        return of_bytes(draw, data)
    at = _place(draw, members)
    name, content = members[at]
    if kind == 1:
        members[at] = draw(st.sampled_from(TEXTS)) + draw(st.sampled_from(["", ".npy"])), content
    elif kind == 2:
        members.append(members.pop(at) if draw(st.booleans()) else (name, b""))
    elif kind == 3:
        del members[at]
    else:
        members[at] = name, _of_member(draw, name, content)
    return _packed(members)


def _packed(members: list[tuple[str, bytes]]) -> bytes:
    import warnings

    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        warnings.simplefilter("ignore")  # a name that is there twice is what is wanted
        for name, content in members:
            archive.writestr(name.encode("utf-8", "replace").decode() or "x", content)
    return file.getvalue()


__all__ = [
    "NUMBERS", "TEXTS", "Change", "Draw", "behind", "of_bytes", "of_json", "of_lines", "of_safetensors", "of_text",
    "of_zip",
]  # fmt: skip
