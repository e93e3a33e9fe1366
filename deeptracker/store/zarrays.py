"""Zarr groups and arrays as such: made, opened, filled.

Two codec pipelines are at work. zarrs is several times faster both ways, but compares a chunk's checksum only when
the whole chunk is asked for, and writes no file where all is fill value. So it reads whole shards, and parts of
shards go through Zarr's own pipeline; it writes, and the files that it leaves out are written by Zarr's own, since a
missing file must mean damage here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.core.metadata.v3 import ArrayV3Metadata
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, StorePath

from deeptracker.errors import DamagedRunError
from deeptracker.store import plausible
from deeptracker.store.described import Description, describe
from deeptracker.store.durable import begin_sync
from deeptracker.store.layout import LOG, MAKING, Grid, encoding
from deeptracker.store.place import Place
from deeptracker.store.sealed import seal_metadata, unseal

_PLAIN = "zarr.core.codec_pipeline.BatchedCodecPipeline"
_FAST = "zarrs.ZarrsCodecPipeline" if find_spec("zarrs") else _PLAIN
# The choice of a pipeline is a global setting of zarr, looked at when an array is opened.
_CHOOSING = threading.Lock()
_WAITING_BYTES = 32 << 20


T = TypeVar("T")


class NotAnArrayError(ValueError):
    """A group where an array was looked for."""


def make_group(folder: Place, attributes: Mapping[str, Any], *, durable: bool = True) -> None:
    """Write (or replace) the metadata of a group; not ``durable`` where the caller makes the whole folder so."""
    document = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    text = seal_metadata(document)
    if durable:
        (folder / "zarr.json").write([text])
    else:
        (folder / "zarr.json").put(text)


def make_array(
    folder: Place,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    fill: object,
    grid: Grid,
    dims: tuple[str, ...],
    attributes: Mapping[str, Any],
) -> Writable:
    """Create an array in a folder of its own, without values yet, not durably."""
    metadata, text = _sized(shape, str(dtype) if dtype.kind != "T" else "T", repr(fill), grid, dims)
    document = {**json.loads(text), "shape": shape, "attributes": dict(attributes)}
    (folder / "zarr.json").put(seal_metadata(document))
    return Writable(metadata, folder, shape)


@lru_cache(maxsize=64)
def _sized(
    shape: tuple[int, ...], dtype: str, fill: str, grid: Grid, dims: tuple[str, ...]
) -> tuple[ArrayV3Metadata, str]:
    """Of all variables of a group alike."""
    metadata, text = _metadata((0, *shape[1:]) if shape else (), dtype, fill, grid, dims)
    return metadata.update_shape(shape), text


@lru_cache(maxsize=256)
def _metadata(
    shape: tuple[int, ...], dtype: str, fill: str, grid: Grid, dims: tuple[str, ...]
) -> tuple[ArrayV3Metadata, str]:
    """Zarr's own description of such an array: asked for once a kind, since asking takes milliseconds."""
    kind: Any = np.dtypes.StringDType() if dtype == "T" else np.dtype(dtype)
    with _CHOOSING, zarr.config.set({"codec_pipeline.path": _PLAIN}):
        array = zarr.create_array(
            MemoryStore(),
            shape=shape,
            dimension_names=dims,
            **encoding(kind, float(fill) if fill == "nan" else literal_eval(fill), grid),
        )
    text = json.dumps(array.metadata.to_dict())
    return ArrayV3Metadata.from_dict(json.loads(text)), text


def read_description(folder: Place) -> Description:
    """What an array says of itself.

    Raises
    ------
    FileNotFoundError, NotAnArrayError
        There is nothing, or a group.
    DamagedRunError
        It is not what was written.
    """
    return _understood(folder, _description)


def read_attributes(folder: Place) -> dict[str, Any]:
    """Attributes of a group; errors as of ``read_description``."""
    return _understood(folder, lambda document: dict(document["attributes"]))


def _description(document: dict[str, Any]) -> Description:
    if document["node_type"] != "array":
        raise NotAnArrayError("it is a group")
    found = describe(document)
    plausible.description(found.file_shape, found.chunks, found.shape, found.dtype.itemsize)
    return found


def _understood(folder: Place, understand: Callable[[dict[str, Any]], T]) -> T:
    raw = (folder / "zarr.json").read_bytes()
    try:
        return understand(unseal(raw))
    except NotAnArrayError:
        raise
    except Exception as error:  # Zarr says in many ways what it does not understand
        file = str(folder / "zarr.json")
        run = file.rpartition(f"/{LOG}/")[0] or file.rpartition(f"/{MAKING}/")[0] or "RUN"
        raise DamagedRunError(f"{file} is damaged: deeptracker verify {run} names every damaged part") from error


def reshaped(metadata: ArrayV3Metadata, store: Store, shape: tuple[int, ...], fast: bool) -> zarr.Array[Any]:
    """An array to read from, with a shape that its metadata do not say (yet)."""
    return zarr.Array(_array(metadata.update_shape(shape), store, fast))


def _array(metadata: ArrayV3Metadata, store: Store, fast: bool) -> zarr.AsyncArray[Any]:
    # zarrs reads and writes files itself; it knows nothing of what lies in this process's memory.
    here = isinstance(store, LocalStore)
    with _CHOOSING, zarr.config.set({"codec_pipeline.path": _FAST if fast and here else _PLAIN}):
        return zarr.AsyncArray(metadata, StorePath(store, ""), config={"write_empty_chunks": True})


class Writable:
    """An array to write to, by blocks whose borders are those of its files.

    Parameters
    ----------
    metadata, folder : the array and where its files go.
    shape : its shape.
    """

    def __init__(self, metadata: ArrayV3Metadata, folder: Place, shape: tuple[int, ...]) -> None:
        self.metadata = metadata if metadata.shape == shape else metadata.update_shape(shape)
        self.folder, self.shape = folder, shape
        self.files: tuple[int, ...] = metadata.shards or metadata.chunks
        self.dtype = metadata.data_type.to_native_dtype()

    def __setitem__(self, key: Any, values: np.ndarray[Any, Any]) -> None:
        sync(self.write(key, values))

    async def write(self, key: Any, values: np.ndarray[Any, Any]) -> None:
        """Put a block in its place."""
        store = self.folder.writing()
        array = _array(self.metadata, store, self.dtype.kind != "T")
        try:
            await array.setitem(key, values)
        except (RuntimeError, ValueError):
            if not self.folder.is_here:
                raise
            # A worker that was killed may have left the half of a file, which cannot be added to. What is written
            # now is all that counts of the file.
            for place in self._files(key):
                self.folder.joinpath("c", *map(str, place)).unlink(missing_ok=True)
            await array.setitem(key, values)
        if not self.folder.is_here:
            await asyncio.to_thread(self.folder.keep, store)
        elif self.dtype.kind != "T":
            await self._fill_up(store, key, values)

    def _files(self, key: Any) -> Iterator[tuple[int, ...]]:
        """Places in the grid of the files that a block lies in."""
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys or len(keys) < len(self.shape):
            keys = (*(k for k in keys if k is not Ellipsis), *(slice(None),) * len(self.shape))[: len(self.shape)]
        spans = [
            range((k.start or 0) // size, -(-min(n, n if k.stop is None else k.stop) // size))
            for k, n, size in zip(keys, self.shape, self.files, strict=True)
        ]
        return itertools.product(*spans)

    async def _fill_up(self, store: Store, key: Any, values: np.ndarray[Any, Any]) -> None:
        """Write what zarrs left out: files of fill values."""
        before = f"{self.folder}/c/"
        there = [begin_sync(before + "/".join(map(str, place))) for place in self._files(key)]
        if not all(there):
            await _array(self.metadata, store, False).setitem(key, values)


class Filling:
    """Blocks on their way into arrays, many at a time: a call into Zarr takes longer than a small block.

    Blocks wait until they are 32 MiB together, or until ``finish``.
    """

    def __init__(self) -> None:
        self._blocks: list[tuple[Writable, Any, np.ndarray[Any, Any]]] = []
        self._bytes = 0

    def add(self, array: Writable, key: Any, values: np.ndarray[Any, Any]) -> None:
        """One more block; its values must not change before it is written."""
        self._blocks.append((array, key, values))
        self._bytes += values.nbytes
        if self._bytes > _WAITING_BYTES:
            self.finish()

    def begin(self, array: Writable, rows: np.ndarray[Any, Any]) -> None:
        """The first rows of an array that grows; inner chunks past the last row stay away."""
        if not rows.size:
            return
        chunk, size = array.metadata.chunks[0], array.files[0]
        block = np.full((-(-len(rows) // chunk) * chunk, *rows.shape[1:]), array.metadata.fill_value, rows.dtype)
        block[: len(rows)] = rows
        files = Writable(array.metadata, array.folder, (-(-len(rows) // size) * size, *rows.shape[1:]))
        self.add(files, slice(0, len(block)), block)

    def finish(self) -> None:
        """Return when every block is in its place."""
        blocks, self._blocks, self._bytes = self._blocks, [], 0
        if blocks:
            sync(_at_once(blocks))


async def _at_once(blocks: Iterable[tuple[Writable, Any, np.ndarray[Any, Any]]]) -> None:
    writes = (array.write(key, values) for array, key, values in blocks)
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


__all__ = [
    "Filling",
    "NotAnArrayError",
    "Writable",
    "make_array",
    "make_group",
    "read_attributes",
    "read_description",
    "reshaped",
]
