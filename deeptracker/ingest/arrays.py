"""Opens files of arrays without running anything that they contain: npz, safetensors, PyTorch's.

A pickle can run any code when it is read. NumPy's and PyTorch's safe readers refuse what is more than data, and so
does this: the message says what to save instead.
"""

from __future__ import annotations

import json
import math
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.errors import InputError, MissingExtraError
from deeptracker.ingest.foreign import affordable, check_archive, first_line, understood

Array = np.ndarray[Any, Any]
TORCH = {".pt", ".pth", ".ckpt"}
SAFE = {".safetensors"}
NUMPY = {".npz"}
_REMEDY = "save the state dict alone (torch.save(model.state_dict(), …)) or convert it to safetensors"
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1",
    "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "|b1",
}  # fmt: skip
_MOST_HEADER = 100_000_000
_MOST_PARTS = 200_000
_DEEPEST = 20


def load(path: Path) -> dict[str, Any]:
    """What a file holds: name → array, tensor, number, text, or a dictionary or list of these.

    Raises
    ------
    InputError
        The file cannot be read, or reading it would run code. One line: which file, why, what to do.
    MissingExtraError
        A file of PyTorch's, and no torch.
    """
    suffix = path.suffix.lower()
    with understood(path.name):
        if suffix in NUMPY:
            return _npz(path)
        content = _safetensors(path) if suffix in SAFE else _torch(path)
        # Many tensors can be made of the same few bytes.
        affordable(path, sum(_bytes(leaf) for leaf in leaves(content, path.name)))
    return content


def leaves(content: Mapping[str, Any], name: str) -> list[Any]:
    """Every array or tensor of a dictionary of dictionaries.

    Raises
    ------
    InputError
        It is inside itself, or has more parts than a checkpoint has: the same dictionary can be in many places.
    """
    found, level, seen = [], [content], 0
    for _ in range(_DEEPEST):
        parts = [part for one in level for part in one.values()]
        seen += len(parts)
        found += [part for part in parts if is_array(part)]
        level = [part for part in parts if isinstance(part, Mapping)]
        if not level or seen > _MOST_PARTS:
            break
    if level or seen > _MOST_PARTS:
        raise InputError(f"{name}: is nested too deeply, or has more than {_MOST_PARTS:,} parts: {_REMEDY}")
    return found


def _bytes(leaf: Any) -> int:
    return math.prod(leaf.shape) * int(leaf.dtype.itemsize)


def _npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path.name}: is not an npz archive")
            check_archive(path, packed=True)
            return {name: _member(file, name) for name in file.files}
    except Exception as error:
        if isinstance(error, InputError):
            raise
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            raise InputError(
                f"{path.name}: holds pickled objects, which can run code: not read; save arrays of numbers only "
                "(np.savez with no dtype=object)"
            ) from None
        raise InputError(f"{path.name}: cannot be read ({first_line(error)}): write it again") from None


def _member(file: Any, name: str) -> Any:
    """One array; its header may not ask for more memory than the archive has bytes for it."""
    member = name if name in file.zip.NameToInfo else f"{name}.npy"
    with file.zip.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if math.prod(shape) * dtype.itemsize > file.zip.NameToInfo[member].file_size:
        raise ValueError(f"{name} is shorter than its shape {shape}")
    return file[name]


def _safetensors(path: Path) -> dict[str, Any]:
    """Arrays stay on disk until they are used (memory map)."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(_MOST_HEADER, size):
                raise ValueError("no header")
            header = json.loads(file.read(length))
        out: dict[str, Any] = dict(header.pop("__metadata__", None) or {})
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path.name}: is no safetensors file, or is cut off: write it again") from None
    raw = np.memmap(path, np.uint8, "r", offset=8 + length) if size > 8 + length else np.empty(0, np.uint8)
    for name, entry in header.items():
        try:
            out[name] = _entry(raw, entry)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError):
            raise InputError(f"{path.name}: is cut off or damaged inside {name}: write it again") from None
    return out


def _entry(raw: Array, entry: Any) -> Array | str:
    """One tensor of a safetensors file; ValueError, TypeError or KeyError where its entry does not fit the bytes."""
    start, stop = entry["data_offsets"]
    if not 0 <= start <= stop <= len(raw):
        raise ValueError("outside the file")
    data = raw[start:stop]
    if entry["dtype"] == "BF16":  # the upper half of a float32
        return (data.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
    if entry["dtype"] in _DTYPES:
        return data.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return f"stored as {entry['dtype']}"


def _torch(path: Path) -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        raise MissingExtraError(f'{path.name}: reading it needs torch: pip install "deeptracker[record]"') from None
    with path.open("rb") as file:
        if file.read(1) not in (b"P", b"\x80"):  # of an archive, of a pickle
            raise InputError(f"{path.name}: is no file of torch.save: write it again")
    if archive := zipfile.is_zipfile(path):
        check_archive(path, packed=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch hints at its less safe readers
            # Tensors stay on disk until they are used, where the file's format allows it.
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:
        text = str(error)
        if "weights_only" in text or "Weights only" in text or "Unsupported" in text:
            name = re.search(r"GLOBAL `?([\w.]+)", text) or re.search(r"Unsupported global: ([\w.]+)", text)
            what = f" of {name[1].rstrip('.')}" if name else ""
            raise InputError(f"{path.name}: holds a pickle{what}, which can run code: not read; {_REMEDY}") from None
        raise InputError(f"{path.name}: is no file of torch.save, or is cut off: write it again") from None
    if not isinstance(found, Mapping):
        raise InputError(f"{path.name}: holds a {type(found).__name__}, not a state dict: {_REMEDY}")
    for leaf in leaves(found, path.name):
        if leaf.layout != torch.strided or leaf.is_meta or leaf.is_quantized:
            raise InputError(f"{path.name}: holds a tensor that is not stored value by value: {_REMEDY}")
        if _bytes(leaf) > leaf.untyped_storage().nbytes():
            raise InputError(f"{path.name}: holds a tensor of more values than it has bytes for: {_REMEDY}")
    return {str(name): value for name, value in found.items()}


def is_array(value: Any) -> bool:
    """Whether a leaf is an array or a tensor."""
    return isinstance(value, np.ndarray) or hasattr(value, "detach")


def number(value: Any) -> float | None:
    """A leaf as a number, or None: arrays of one element and texts of digits count."""
    if is_array(value):
        if math.prod(value.shape) != 1 or (hasattr(value, "detach") and value.is_meta):
            return None
        value = value.reshape(-1)[0].item()
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    try:
        return float(value) if isinstance(value, bool | int | float) else None
    except OverflowError:  # a whole number of 400 digits
        return None


def numpy(value: Any) -> Array:
    """A leaf as a NumPy array; half-precision tensors as float32."""
    if hasattr(value, "detach"):
        value = value.detach()
        value = value.float().numpy() if value.is_floating_point() else value.numpy()
    return np.asarray(value)


__all__ = ["NUMPY", "SAFE", "TORCH", "is_array", "load", "number", "numpy"]
