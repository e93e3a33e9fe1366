"""Zarr groups and arrays as such: made, opened, filled.

Two codec pipelines are at work. zarrs is several times faster both ways, but compares a chunk's checksum only when
the whole chunk is asked for, and writes no file where all is fill value. So it reads whole shards, and parts of
shards go through Zarr's own pipeline; it writes, and the files that it leaves out are written by Zarr's own, since a
missing file must mean damage here.
"""

from __future__ import annotations

import itertools
import json
import threading
from ast import literal_eval
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.metadata.v3 import ArrayV3Metadata
from zarr.storage import LocalStore, MemoryStore, StorePath

from deeptracker.store.durable import write_file
from deeptracker.store.layout import Grid, encoding

_PLAIN = "zarr.core.codec_pipeline.BatchedCodecPipeline"
_FAST = "zarrs.ZarrsCodecPipeline" if find_spec("zarrs") else _PLAIN
# The choice of a pipeline is a global setting of zarr, looked at when an array is opened.
_CHOOSING = threading.Lock()


def make_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    """Write (or replace) the metadata of a group, and of the groups above it up to the hierarchy."""
    document = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    write_file(folder / "zarr.json", [json.dumps(document, ensure_ascii=False, indent=2).encode()])


def make_array(
    folder: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    fill: object,
    grid: Grid,
    dims: tuple[str, ...],
    attributes: Mapping[str, Any],
) -> Writable:
    """Create an array in a folder of its own."""
    document = json.loads(_metadata(shape, str(dtype) if dtype.kind != "T" else "T", repr(fill), grid, dims))
    document["attributes"] = dict(attributes)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "zarr.json").write_text(json.dumps(document, ensure_ascii=False, indent=2))
    return Writable(ArrayV3Metadata.from_dict(document), folder, shape)


@lru_cache(maxsize=256)
def _metadata(shape: tuple[int, ...], dtype: str, fill: str, grid: Grid, dims: tuple[str, ...]) -> str:
    """Zarr's own description of such an array: asked for once a kind, since asking takes milliseconds."""
    kind: Any = np.dtypes.StringDType() if dtype == "T" else np.dtype(dtype)
    with _CHOOSING, zarr.config.set({"codec_pipeline.path": _PLAIN}):
        array = zarr.create_array(
            MemoryStore(),
            shape=shape,
            dimension_names=dims,
            **encoding(kind, float(fill) if fill == "nan" else literal_eval(fill), grid),
        )
    return json.dumps(array.metadata.to_dict())


def open_for_reading(folder: Path, fast: bool = False) -> zarr.Array[Any]:
    """Open an array as its metadata describe it."""
    with _CHOOSING, zarr.config.set({"codec_pipeline.path": _FAST if fast else _PLAIN}):
        return zarr.open_array(LocalStore(folder, read_only=True), mode="r")


def reshaped(metadata: ArrayV3Metadata, folder: Path, shape: tuple[int, ...], fast: bool) -> zarr.Array[Any]:
    """An array to read from, with a shape that its metadata do not say (yet)."""
    return _array(metadata.update_shape(shape), LocalStore(folder, read_only=True), fast)


def _array(metadata: ArrayV3Metadata, store: LocalStore, fast: bool) -> zarr.Array[Any]:
    with _CHOOSING, zarr.config.set({"codec_pipeline.path": _FAST if fast else _PLAIN}):
        return zarr.Array(
            zarr.AsyncArray(metadata=metadata, store_path=StorePath(store, ""), config={"write_empty_chunks": True})
        )


class Writable:
    """An array to write to, by blocks whose borders are those of its files.

    Parameters
    ----------
    metadata, folder : the array and where its files go.
    shape : its shape.
    """

    def __init__(self, metadata: ArrayV3Metadata, folder: Path, shape: tuple[int, ...]) -> None:
        self.metadata, self.folder, self.shape = metadata.update_shape(shape), folder, shape
        plain = self._open(False)
        self.files: tuple[int, ...] = plain.shards or plain.chunks
        self._texts = metadata.data_type.to_native_dtype().kind == "T"

    def _open(self, fast: bool) -> zarr.Array[Any]:
        return _array(self.metadata, LocalStore(self.folder), fast)

    def __setitem__(self, key: Any, values: np.ndarray[Any, Any]) -> None:
        if self._texts:
            self._open(False)[key] = values
            return
        self._open(True)[key] = values
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys or len(keys) < len(self.shape):
            keys = (*(k for k in keys if k is not Ellipsis), *(slice(None),) * len(self.shape))[: len(self.shape)]
        spans = [
            range((k.start or 0) // size, -(-min(n, n if k.stop is None else k.stop) // size))
            for k, n, size in zip(keys, self.shape, self.files, strict=True)
        ]
        if not all(self.folder.joinpath("c", *map(str, place)).is_file() for place in itertools.product(*spans)):
            self._open(False)[key] = values


__all__ = ["Writable", "make_array", "make_group", "open_for_reading", "reshaped"]
