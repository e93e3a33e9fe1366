"""What of a folder would survive a power cut: what was fsynced, and any part of what was not.

A file system promises the content of a file as of its last fsync, and the names in a folder as of the folder's. All
else may have reached the disk or not: a new name without its bytes, the bytes in part, a rename that is undone.
"""

from __future__ import annotations

import os
import random
import resource
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Names = dict[str, int]


class Platter:
    """Watches a folder through ``os``: within ``watching()``, fsyncs are noted rather than done.

    Parameters
    ----------
    root : the folder, durable itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls = 0
        self._files: dict[int, bytes] = {}
        self._folders: dict[int, Names] = {}
        self._held: dict[int, int] = {}
        self._turn = threading.RLock()
        self.at: int | None = None
        """Number of the call at which the power goes; ``image`` is what is left then."""
        self.image: Path | None = None
        self.draw = random.Random(0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what is made durable; every fsync, rename and removal is a moment at which the power may go."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        real = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink", "mkdir")}

        def fsync(descriptor: int) -> None:
            self._moment()
            self._synced(descriptor)

        def counted(name: str) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                self._moment()
                return real[name](*arguments, **options)

            return call

        for here, _, files in os.walk(self.root):
            for path in (here, *(os.path.join(here, name) for name in files)):
                descriptor = os.open(path, os.O_RDONLY)
                self._synced(descriptor)  # what was there before was there for long
                os.close(descriptor)
        os.fsync = fsync
        for name in ("replace", "rename", "unlink", "mkdir"):
            setattr(os, name, counted(name))
        try:
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)
            for descriptor in self._held.values():
                os.close(descriptor)
            self._held.clear()

    def _moment(self) -> None:
        with self._turn:
            self.calls += 1
            if self.calls == self.at and self.image is not None:
                self._leave(self.root, self.image)

    def _synced(self, descriptor: int) -> None:
        with self._turn:
            status = os.fstat(descriptor)
            if status.st_ino not in self._held:
                self._held[status.st_ino] = os.dup(descriptor)  # so that no other file gets this number
            if stat.S_ISDIR(status.st_mode):
                names = self._folders[status.st_ino] = _names(descriptor)
                for name, inode in names.items():
                    if inode not in self._held:
                        self._held[inode] = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=descriptor)
            else:
                with open(f"/proc/self/fd/{descriptor}", "rb") as file:
                    self._files[status.st_ino] = file.read()

    def _leave(self, folder: Path, image: Path) -> None:
        """One of the states in which the disk may be found."""
        image.mkdir()
        now, safe = _names(folder), self._folders.get(folder.stat().st_ino, {})
        for name in sorted({*now, *safe}):
            inode = self.draw.choice([now.get(name), safe.get(name)])
            if inode is None:
                continue
            if self._is_folder(inode) or (inode == now.get(name) and (folder / name).is_dir()):
                if (folder / name).is_dir():
                    self._leave(folder / name, image / name)
                else:  # removed since: it may still be there, with what was in it
                    self._restore(inode, image / name)
                continue
            content = self._content(inode, folder / name if inode == now.get(name) else None)
            (image / name).write_bytes(content)

    def _is_folder(self, inode: int) -> bool:
        """Whether what was seen was a folder, with names of its own that are safe or with none."""
        held = self._held.get(inode)
        return inode in self._folders or (held is not None and stat.S_ISDIR(os.fstat(held).st_mode))

    def _restore(self, inode: int, image: Path) -> None:
        image.mkdir()
        for name, inner in self._folders.get(inode, {}).items():
            if self._is_folder(inner):
                self._restore(inner, image / name)
            else:
                (image / name).write_bytes(self._files.get(inner, b""))

    def _content(self, inode: int, path: Path | None) -> bytes:
        safe = self._files.get(inode)
        try:
            now = path.read_bytes() if path is not None else safe or b""
        except FileNotFoundError:
            now = safe or b""
        if safe == now:
            return now
        torn = now[: self.draw.randrange(len(now) + 1)]
        return self.draw.choice([safe or b"", now, torn, bytes(len(now))])


def _names(folder: Path | int) -> Names:
    with os.scandir(folder) as entries:
        return {entry.name: entry.inode() for entry in entries}


__all__ = ["Platter"]
