"""What an array says of itself, as far as who opens a run needs it.

Zarr's own metadata object takes a millisecond an array to make, and a screen opens hundreds of arrays. So the form
that this package writes is read as plain JSON, to the letter; a document of any other form goes through Zarr, which
understands more and says what is wrong. Zarr's object of an array in our form is made when Zarr reads its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec
from zarr.core.metadata.v3 import ArrayV3Metadata

from deeptracker.store.layout import CODECS

Packing = Literal["numbers", "texts"]

_SAME = {
    "zarr_format": 3,
    "node_type": "array",
    "storage_transformers": [],
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
}
_KEYS = {*_SAME, "shape", "data_type", "chunk_grid", "fill_value", "codecs", "attributes", "dimension_names"}
_CHECKSUM = {"name": "crc32c"}
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_DTYPES: dict[str, np.dtype[Any]] = {
    **{kind: np.dtype(kind) for kind in ("bool", "float16", "float32", "float64")},
    **{f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "string": np.dtypes.StringDType(),
}
_PACKED = [BytesCodec, BloscCodec, Crc32cCodec]


@dataclass(frozen=True)
class Description:
    """An array as its ``zarr.json`` has it.

    Parameters
    ----------
    shape, dtype, dims, attributes : as readers see them; the shape of a growing array may lag behind.
    chunks : of an array in shards, its inner chunks.
    shards : None where chunks lie in files of their own.
    fill : value of a cell that nothing was written to.
    packing : how chunks become bytes: ``numbers`` or ``texts`` as this package packs them (blosc, then a checksum,
        the index of a shard at its end), None = in another way.
    source : what Zarr's object is made from, or is.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    attributes: Mapping[str, Any]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    fill: Any
    packing: Packing | None
    source: Mapping[str, Any] | ArrayV3Metadata

    @property
    def file_shape(self) -> tuple[int, ...]:
        """What one file holds."""
        return self.shards or self.chunks

    @cached_property
    def metadata(self) -> ArrayV3Metadata:
        """The same as Zarr's object."""
        return self.source if isinstance(self.source, ArrayV3Metadata) else ArrayV3Metadata.from_dict({**self.source})


def describe(document: dict[str, Any]) -> Description:
    """The description that a ``zarr.json`` holds.

    Raises
    ------
    ValueError, KeyError, TypeError : it is damaged, or of a kind that Zarr does not know.
    """
    return _in_our_form(document) or of_zarr(ArrayV3Metadata.from_dict(document))


def of_zarr(metadata: ArrayV3Metadata) -> Description:
    """The description of an array that Zarr described."""
    return Description(
        shape=tuple(metadata.shape),
        dtype=metadata.data_type.to_native_dtype(),
        dims=tuple(str(name) for name in metadata.dimension_names or ()),
        attributes=dict(metadata.attributes),
        chunks=metadata.chunks,
        shards=metadata.shards,
        fill=metadata.fill_value,
        packing="numbers" if _packs_numbers(metadata) else None,
        source=metadata,
    )


def _packs_numbers(metadata: ArrayV3Metadata) -> bool:
    codecs = metadata.codecs
    if metadata.data_type.to_native_dtype().kind not in "biuf" or not metadata.shape or 0 in metadata.chunks:
        return False
    if [type(codec) for codec in codecs] == _PACKED:
        return True
    if len(codecs) != 1 or not isinstance(codecs[0], ShardingCodec):
        return False
    inner, index = codecs[0].codecs, codecs[0].index_codecs
    return (
        [type(codec) for codec in inner] == _PACKED
        and [type(codec) for codec in index] == [BytesCodec, Crc32cCodec]
        and str(getattr(codecs[0].index_location, "value", codecs[0].index_location)) == "end"
    )


def _in_our_form(document: dict[str, Any]) -> Description | None:
    """The description, None where anything is not as this package writes it."""
    if set(document) != _KEYS or any(document[key] != value for key, value in _SAME.items()):
        return None
    kind, attributes, dims = (document[key] for key in ("data_type", "attributes", "dimension_names"))
    dtype = _DTYPES.get(kind) if isinstance(kind, str) else None
    shape, files, chunks = _lengths(document["shape"], 0), _grid(document), _inner_chunks(document, kind)
    if dtype is None or shape is None or files is None or chunks is None or not isinstance(attributes, dict):
        return None
    fill = _fill(dtype, document["fill_value"])
    named = isinstance(dims, list) and all(isinstance(name, str) for name in dims) and len(dims) == len(shape)
    if fill is None or not named or not shape or len(files) != len(shape):
        return None
    if chunks and (len(chunks) != len(files) or any(n % m for n, m in zip(files, chunks, strict=True))):
        return None
    return Description(
        shape=shape,
        dtype=dtype,
        dims=tuple(dims),
        attributes=attributes,
        chunks=chunks or files,
        shards=files if chunks else None,
        fill=fill,
        packing="texts" if kind == "string" else "numbers",
        source=document,
    )


def _lengths(values: Any, least: int) -> tuple[int, ...] | None:
    sound = isinstance(values, list) and all(type(value) is int and value >= least for value in values)
    return tuple(values) if sound else None


def _grid(document: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Shape of a file."""
    grid = document["chunk_grid"]
    sound = isinstance(grid, dict) and set(grid) == {"name", "configuration"} and grid["name"] == "regular"
    sound = sound and isinstance(grid["configuration"], dict) and set(grid["configuration"]) == {"chunk_shape"}
    return _lengths(grid["configuration"]["chunk_shape"], 1) if sound else None


def _inner_chunks(document: Mapping[str, Any], kind: Any) -> tuple[int, ...] | None:
    """Inner chunks of an array in shards, () of one in plain chunks, None where it is packed in another way."""
    codecs = document["codecs"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        return None
    if any(codecs == _codecs(kind, name) for name in CODECS):
        return ()
    if not isinstance(codecs, list) or len(codecs) != 1 or kind == "string":
        return None
    (shard,) = codecs
    if not isinstance(shard, dict) or shard.get("name") != "sharding_indexed" or set(shard) != _NAMED:
        return None
    inside = shard["configuration"]
    if not isinstance(inside, dict):
        return None
    if all({**inside, "chunk_shape": None} != _sharding(kind, name) for name in CODECS):
        return None
    return _lengths(inside.get("chunk_shape"), 1) or None


_NAMED = {"name", "configuration"}


@lru_cache(maxsize=64)
def _codecs(kind: str, cname: str) -> list[dict[str, Any]]:
    """How chunks of a dtype become bytes; see ``layout.encoding``."""
    size = 1 if kind == "string" else _DTYPES[kind].itemsize
    blosc = {
        "typesize": size,
        "cname": cname,
        "clevel": 1,
        "shuffle": "shuffle" if size > 1 else "noshuffle",
        "blocksize": 0,
    }
    first = {"name": "vlen-utf8", "configuration": {}} if kind == "string" else _LITTLE
    first = {"name": "bytes"} if size == 1 and kind != "string" else first
    return [first, {"name": "blosc", "configuration": blosc}, _CHECKSUM]


@lru_cache(maxsize=64)
def _sharding(kind: str, cname: str) -> dict[str, Any]:
    return {
        "chunk_shape": None,
        "codecs": _codecs(kind, cname),
        "index_codecs": [_LITTLE, _CHECKSUM],
        "index_location": "end",
    }


def _fill(dtype: np.dtype[Any], value: Any) -> Any:
    """The fill value as NumPy has it, None where it is of another form."""
    if dtype.kind == "T":
        return value if type(value) is str else None
    if dtype.kind == "b":
        return np.bool_(value) if type(value) is bool else None
    if dtype.kind == "f":
        return dtype.type("nan") if value == "NaN" else None
    bounds = np.iinfo(dtype)
    return dtype.type(value) if type(value) is int and bounds.min <= value <= bounds.max else None


__all__ = ["Description", "describe", "of_zarr"]
