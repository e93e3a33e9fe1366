"""A folder of this machine as the place of a run: ``pathlib.Path``, and what the store does with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PosixPath
from typing import Any, TypeVar

import numpy as np
from zarr.abc.store import Store
from zarr.storage import LocalStore

from deeptracker.store.durable import (
    Batch,
    link,
    move_folders,
    sync_trees,
    write_aside,
    write_file,
)
from deeptracker.store.flock import WriterLock, is_locked

T = TypeVar("T")
U = TypeVar("U")


class Folder(PosixPath):
    """See ``place.Place``. Equal to a ``pathlib.Path`` of the same name."""

    is_here = True

    def read_part(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on."""
        with open(self, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def values(self, offset: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Mapped into memory."""
        return np.memmap(self, dtype=dtype, mode="r", offset=offset, shape=shape)

    def stamp(self) -> tuple[Any, ...]:
        """Inode and time of the last change."""
        status = os.stat(self)
        return status.st_ino, status.st_mtime_ns

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Files that vanish meanwhile count nothing."""
        for here, _, files in os.walk(self):
            for name in files:
                path = os.path.join(here, name)
                try:
                    yield os.path.relpath(path, self), os.lstat(path).st_size
                except FileNotFoundError:
                    continue

    def at_once(self, function: Callable[[T], U], items: Iterable[T]) -> list[U]:
        """One after the other: a disk does not get faster."""
        return [function(item) for item in items]

    def fetch(self, names: Sequence[str]) -> Store | None:
        """Nothing: all is here."""
        return None

    def write(self, parts: Iterable[bytes | memoryview]) -> int:
        """Written aside, fsynced, renamed, folder fsynced."""
        return write_file(self, parts)

    def put(self, content: bytes) -> None:
        """Written aside, renamed; the folder is made."""
        self.parent.mkdir(parents=True, exist_ok=True)
        write_aside(self, content)

    def marker(self) -> Folder:
        """The file itself: whoever holds the lock is the only one."""
        return self

    def share(self, source: Folder) -> None:
        """A second name for the other file, or a copy of it."""
        self.parent.mkdir(parents=True, exist_ok=True)
        link(source, self)

    def remove(self, *, strict: bool = False) -> None:
        """As far as permissions reach."""
        shutil.rmtree(self, ignore_errors=not strict)

    def drop(self, names: Iterable[str]) -> None:
        """Files of this folder."""
        for name in names:
            (self / name).unlink(missing_ok=True)

    def batch(self, root: Folder) -> Batch:
        """Made here, renamed into its place."""
        return Batch(self, root)

    def sync(self, folders: Iterable[Folder]) -> None:
        """Fsyncs."""
        sync_trees(folders)

    def move(self, moves: Iterable[tuple[Folder, Folder]]) -> None:
        """Renames."""
        move_folders(moves)

    def writing(self) -> Store:
        """The folder of the array."""
        return LocalStore(self)

    def keep(self, store: Store) -> None:
        """They are in their place."""

    def lock(self, run: object) -> WriterLock:
        """``flock``."""
        return WriterLock(self, run)

    def is_locked(self) -> bool:
        """Whether a process holds the lock."""
        return is_locked(self)


__all__ = ["Folder"]
