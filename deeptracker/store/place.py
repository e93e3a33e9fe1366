"""Where a run lies, or a part of it: the one noun that everything in the store reads from and writes to.

``Folder`` is a path of this machine, ``Bucket`` a prefix of an object store. Both do the same things, each in its own
way; nothing above them asks which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from zarr.abc.store import Store

from deeptracker.errors import InputError
from deeptracker.store.bucket import Bucket
from deeptracker.store.folder import Folder
from deeptracker.store.layout import LOG

T = TypeVar("T")
U = TypeVar("U")


class Lock(Protocol):
    """Held by the one writer of a run."""

    def check(self) -> None:
        """LockedRunError where it is no longer held."""

    def release(self) -> None:
        """Let go; a second call does nothing."""


class Marker(Protocol):
    """A small file that says what counts, replaced by one writer."""

    def write(self, parts: Iterable[bytes | memoryview]) -> int:
        """Replace it atomically and durably; returns the number of bytes."""


class Batch(Protocol):
    """Files that take their places together; see ``durable.Batch``."""

    def file(self, array: Any, number: int, axes: int) -> tuple[Any, int]:
        """Where a file of an array is written, to count as file ``number``: a place, and its number there."""

    def write(self, target: Any, content: bytes) -> None:
        """Have these bytes take the place of ``target``."""

    def made(self, folder: Any) -> None:
        """Make a folder durable with all that is in it then."""

    def drop(self) -> None:
        """Let go of all that was written for it and is not in its place."""

    def finish(self) -> None:
        """Put everything in its place, durably."""


class Place(Protocol):
    """A file or a folder of a run, with the part of ``pathlib.Path`` that the store needs, and more.

    Faults are ``FileNotFoundError`` where something is gone, other ``OSError`` of a disk, ``UnreachableError`` of a
    network.
    """

    @property
    def name(self) -> str: ...
    @property
    def parent(self) -> Any: ...
    @property
    def is_here(self) -> bool:
        """Whether its bytes are on this machine: reading them again costs nothing."""

    def __hash__(self) -> int: ...
    def __truediv__(self, name: str) -> Any: ...
    def joinpath(self, *names: str) -> Any: ...
    def with_name(self, name: str) -> Any: ...
    def exists(self) -> bool: ...
    def is_file(self) -> bool: ...
    def is_dir(self) -> bool: ...
    def iterdir(self) -> Iterator[Any]: ...
    def read_bytes(self) -> bytes: ...

    def read_part(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on, fewer where the file ends before."""

    def values(self, offset: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """An array that lies in the file; ValueError where the file ends before."""

    def stamp(self) -> tuple[Any, ...]:
        """Changes whenever the file is replaced; costs one look."""

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Path below this one, and bytes, of every file."""

    def at_once(self, function: Callable[[T], U], items: Iterable[T]) -> list[U]:
        """``function`` of every item, in their order: at the same time where each waits for a network."""

    def fetch(self, names: Sequence[str]) -> Store | None:
        """What has to be brought here before Zarr reads it; None where it is here already."""

    def write(self, parts: Iterable[bytes | memoryview]) -> int:
        """Replace a file atomically and durably; returns the number of bytes."""

    def put(self, content: bytes) -> None:
        """Replace a file atomically, not durably: for folders that ``sync`` makes so."""

    def marker(self) -> Marker:
        """This file as what says what counts."""

    def share(self, source: Any) -> None:
        """Have the content of another file, which is never written to again."""

    def remove(self, *, strict: bool = False) -> None:
        """Remove all that lies below; ``strict``: OSError where a disk refuses."""

    def drop(self, names: Iterable[str]) -> None:
        """Remove some files of a folder; what cannot be removed now stays as rubbish."""

    def batch(self, root: Any) -> Batch:
        """A batch that is made in this folder, below ``root``."""

    def sync(self, folders: Iterable[Any]) -> None:
        """Make some folders durable, with all that is in them."""

    def move(self, moves: Iterable[tuple[Any, Any]]) -> None:
        """Put finished folders (sources) in the places of others (targets)."""

    def writing(self) -> Store:
        """Where Zarr writes files of the array that lies here …"""

    def keep(self, store: Store) -> None:
        """… and what brings them to their place after that."""

    def lock(self, run: object) -> Lock:
        """Become the one writer. LockedRunError where there is another."""

    def is_locked(self) -> bool:
        """Whether there is a writer right now."""


def place_of(path: str | Path | Place) -> Any:
    """The place that a path or an address leads to.

    Raises
    ------
    InputError
        An address of a kind that is not known.
    """
    if isinstance(path, Folder | Bucket):
        return path
    text = str(path)
    # pathlib makes one slash of two: an address that came through it is still one.
    if text.startswith(("s3://", "s3:/")):
        return Bucket.at(text)
    if "://" in text:
        raise InputError(f"{text}: a run lies in a folder or at s3://BUCKET/PREFIX")
    return Folder(text).expanduser()


def run_place(path: str | Path | Place) -> Any:
    """``RUN`` of either ``RUN`` or ``RUN/log.zarr``: both name the run."""
    place = place_of(path)
    return place.parent if place.name == LOG else place


__all__ = ["Batch", "Lock", "Marker", "Place", "place_of", "run_place"]
