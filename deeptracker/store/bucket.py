"""A prefix of a bucket as the place of a run: every object is written whole by one request, and read by few.

An object store has no folders, no renaming and no locks. A file is one object; what a folder does by renaming is
done by copying, the marker last; the one writer is whoever holds a lease.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from zarr.abc.store import Store
from zarr.storage import MemoryStore

from deeptracker.errors import InputError, LockedRunError, UnreachableError
from deeptracker.store import objects
from deeptracker.store.fetching import bring, in_memory
from deeptracker.store.lease import Lease, is_leased

_AT_ONCE = 32
_METADATA = "zarr.json"

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """See ``place.Place``. Its text is its address; it holds no credentials, so it can travel to workers.

    Parameters
    ----------
    bucket : name of the bucket.
    key : what lies there, names joined by slashes; empty for the whole bucket.
    """

    bucket: str
    key: str = ""

    is_here = False

    @classmethod
    def at(cls, address: str) -> Bucket:
        """The place of ``s3://BUCKET/PREFIX``."""
        names = [name for name in address.removeprefix("s3:").split("/") if name]
        if not names:
            raise InputError(f"{address}: name a bucket, as in s3://BUCKET/PREFIX")
        if any(name in (".", "..") for name in names) or any(mark in address for mark in "?#@"):
            raise InputError(f"{address}: an address is s3://BUCKET/PREFIX, without '..', options or credentials")
        return cls(names[0], "/".join(names[1:]))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")

    def __fspath__(self) -> str:
        raise InputError(f"{self} is no path of this machine")

    @property
    def name(self) -> str:
        """The last name; of a whole bucket its own."""
        return self.key.rpartition("/")[2] or self.bucket

    @property
    def parent(self) -> Bucket:
        """Without the last name."""
        return Bucket(self.bucket, self.key.rpartition("/")[0])

    def __truediv__(self, name: str) -> Bucket:
        return self.joinpath(name)

    def joinpath(self, *names: str) -> Bucket:
        """What lies below."""
        return Bucket(self.bucket, "/".join(n.strip("/") for n in (self.key, *map(str, names)) if n not in ("", ".")))

    def with_name(self, name: str) -> Bucket:
        """Another in the same prefix."""
        return self.parent / name

    def resolve(self) -> Bucket:
        """An address has no links in it."""
        return self

    # Looking

    def is_file(self) -> bool:
        """One request."""
        try:
            return bool(objects.head(self.bucket, self.key))
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """One request."""
        return next(objects.below(self.bucket, self.key), None) is not None

    def exists(self) -> bool:
        """Two requests at most."""
        return bool(self.key and self.is_file()) or self.is_dir()

    def iterdir(self) -> Iterator[Bucket]:
        """One request for a thousand names."""
        files, prefixes = objects.children(self.bucket, self.key)
        return iter([self / name for name in (*files, *prefixes)])

    def sizes(self) -> Iterator[tuple[str, int]]:
        """One request for a thousand files."""
        start = len(self.key) + 1 if self.key else 0
        return ((found["path"][start:], found["size"]) for found in objects.below(self.bucket, self.key))

    def stamp(self) -> tuple[Any, ...]:
        """Entity tag and time."""
        found = objects.head(self.bucket, self.key)
        return found["e_tag"], found["last_modified"]

    # Reading

    def read_bytes(self) -> bytes:
        """The object."""
        return bytes(objects.view(self.bucket, self.key))

    def read_part(self, offset: int, size: int) -> bytes:
        """A range of the object."""
        return bytes(objects.part(self.bucket, self.key, offset, size))

    def values(self, offset: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """A range of the object, in memory."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return np.frombuffer(objects.part(self.bucket, self.key, offset, size), dtype).reshape(shape)

    def at_once(self, function: Callable[[T], U], items: Iterable[T]) -> list[U]:
        """Up to 32 at the same time: each waits for the network."""
        items = list(items)
        if len(items) < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
            return list(pool.map(function, items))

    def fetch(self, names: Sequence[str]) -> Store:
        """Files of a Zarr array, as a store in memory."""
        return in_memory(self.at_once(lambda name: (name, bring(self.bucket, f"{self.key}/{name}")), names))

    # Writing

    def write(self, parts: Iterable[bytes | memoryview]) -> int:
        """One PUT (several for more than 8 MiB, which count together)."""
        content = b"".join(parts)
        objects.put(self.bucket, self.key, content)
        return len(content)

    def put(self, content: bytes) -> None:
        """One PUT."""
        objects.put(self.bucket, self.key, content)

    def marker(self) -> Marker:
        """By conditional PUTs: another writer's word is never overwritten."""
        return Marker(self)

    def share(self, source: Bucket) -> None:
        """A copy made by the server."""
        objects.copy(self.bucket, source.key, self.key)

    def remove(self, *, strict: bool = False) -> None:
        """A thousand objects a request; the metadata first, so that nobody takes what is left for a group."""
        keys = [found["path"] for found in objects.below(self.bucket, self.key)]
        keys.sort(key=lambda key: (key != f"{self.key}/{_METADATA}", key))
        objects.delete(self.bucket, keys[:1])
        objects.delete(self.bucket, keys[1:])

    def drop(self, names: Iterable[str]) -> None:
        """Objects of this prefix. The next writer removes what cannot be reached now."""
        try:
            objects.delete(self.bucket, [(self / name).key for name in names])
        except UnreachableError:
            return

    def batch(self, root: Bucket) -> Batch:
        """Written in its place: an object takes it whole."""
        return Batch()

    def sync(self, folders: Iterable[Bucket]) -> None:
        """What a server has taken is durable."""

    def move(self, moves: Iterable[tuple[Bucket, Bucket]]) -> None:
        """Copies; the metadata of each group go last, and are what is removed first."""
        for source, target in moves:
            names = [name for name, _ in source.sizes()]
            kept = {*names, _METADATA}
            stale = [(target / name).key for name, _ in target.sizes() if name not in kept]
            inner = [name for name in names if name != _METADATA]
            self.at_once(lambda name, a=source, b=target: (b / name).share(a / name), inner)  # type: ignore[misc]
            (target / _METADATA).share(source / _METADATA)
            objects.delete(self.bucket, stale)
            source.remove()

    def writing(self) -> Store:
        """Memory; ``keep`` sends it."""
        return MemoryStore()

    def keep(self, store: Store) -> None:
        """One PUT a file."""
        assert isinstance(store, MemoryStore)
        files = [(name, buffer.to_bytes()) for name, buffer in store._store_dict.items()]
        self.at_once(lambda file: (self / file[0]).put(file[1]), files)

    def lock(self, run: object) -> Lease:
        """An object that is renewed while the writer lives."""
        return Lease(self.bucket, self.key, run)

    def is_locked(self) -> bool:
        """Whether it was renewed lately."""
        return is_leased(self.bucket, self.key)


class Marker:
    """An object that one writer replaces: only what that writer wrote, or found, is ever overwritten.

    The answer to a request can be lost though the server has done it; so what was tried counts as written by us.
    """

    def __init__(self, place: Bucket) -> None:
        self._place, self._tried = place, set[bytes]()
        try:
            self._tag: str | None = place.stamp()[0]
        except FileNotFoundError:
            self._tag = None

    def write(self, parts: Iterable[bytes | memoryview]) -> int:
        """One conditional PUT.

        Raises
        ------
        LockedRunError
            Another writer was there.
        """
        content = b"".join(parts)
        place, mine = self._place, hashlib.sha256(content).digest()
        self._tried.add(mine)
        try:
            self._tag = objects.put(place.bucket, place.key, content, self._tag)
        except objects.ReplacedError:
            self._tag = self._adopt(content)
        self._tried = {mine}
        return len(content)

    def _adopt(self, content: bytes) -> str:
        place = self._place
        try:
            there, tag, _ = objects.get(place.bucket, place.key)
            if hashlib.sha256(there).digest() in self._tried:
                return tag if there == content else objects.put(place.bucket, place.key, content, tag)
        except (FileNotFoundError, objects.ReplacedError):
            pass
        raise LockedRunError(f"{place.parent} was written by another process meanwhile: record to another path")


class Batch:
    """See ``durable.Batch``: files are written in their place, small ones when it is finished."""

    def __init__(self) -> None:
        self._small: list[tuple[Bucket, bytes]] = []

    def file(self, array: Bucket, number: int, axes: int) -> tuple[Bucket, int]:
        """In its place."""
        return array, number

    def write(self, target: Bucket, content: bytes) -> None:
        """When the batch is finished."""
        self._small.append((target, content))

    def made(self, folder: Bucket) -> None:
        """It is durable."""

    def drop(self) -> None:
        """What was written counts nowhere, and is written again."""
        self._small = []

    def finish(self) -> None:
        """Send the small ones."""
        small, self._small = self._small, []
        if small:
            small[0][0].at_once(lambda one: one[0].put(one[1]), small)


__all__ = ["Batch", "Bucket", "Marker"]
