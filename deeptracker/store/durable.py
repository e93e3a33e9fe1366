"""Writing that survives a kill and a power cut: aside, fsynced, renamed, folder fsynced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_AT_ONCE = 8


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable, whoever wrote them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_sync(path: str) -> bool:
    """Have the disk begin with the bytes of a file, so that whoever makes it durable later waits less; whether the
    file is there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        if hasattr(os, "posix_fadvise"):  # bytes on their way to the disk stay in memory
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return True


def sync_all(files: Iterable[Path], folders: Iterable[Path]) -> None:
    """Make many files and folders durable; at once, so that the file system's journal is written a few times only."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for sync, paths in ((sync_file, list(files)), (sync_folder, list(folders))):
            # A share for each thread: handing over one by one takes longer than many a file.
            list(pool.map(lambda share, sync=sync: [sync(path) for path in share], _shares(paths)))


def _shares(paths: list[Path]) -> list[list[Path]]:
    return [paths[first::_AT_ONCE] for first in range(min(_AT_ONCE, len(paths)))]


def sync_trees(folders: Iterable[Path]) -> None:
    """Make every file and name below some folders durable, and the names of the folders."""
    folders = list(folders)
    walked = [found for folder in folders for found in os.walk(folder)]
    sync_all(
        (Path(here, name) for here, _, names in walked for name in names),
        {*(Path(here) for here, _, _ in walked), *(folder.parent for folder in folders)},
    )


def write_file(path: Path, parts: Iterable[bytes | memoryview]) -> int:
    """Replace a file atomically; readers see the old bytes or the new ones. Returns the number of bytes."""
    make_folder(path.parent)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    size = 0
    try:
        with open(aside, "wb") as file:
            for part in parts:
                size += file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return size


def write_aside(path: Path, content: bytes) -> None:
    """Replace a file so that a kill leaves all of it or nothing; not durable yet."""
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(content)
    os.replace(aside, path)


class Batch:
    """Files that take their places together: all fsynced, all that were made aside renamed, all folders fsynced.

    Parameters
    ----------
    making : folder on the same file system for what is aside.
    root : folder that is durable already; the ones between it and a file are made so.
    """

    def __init__(self, making: Path, root: Path) -> None:
        self.making, self.root = making, root
        self._moves: list[tuple[Path, Path]] = []
        self._made: list[Path] = []

    def _aside(self) -> Path:
        """A path for one more file or folder in the making."""
        if not self._moves:
            self.making.mkdir(parents=True, exist_ok=True)
        return self.making / f"{len(self._moves)}.part"

    def file(self, array: Path, number: int, axes: int) -> tuple[Path, int]:
        """Where a file of a Zarr array is written, to count as file ``number`` of ``array``.

        Returns
        -------
        Folder of an array beside, of which file 0 is that file; and 0.
        """
        part, rest = self._aside(), ("0",) * (axes - 1)
        self._moves.append((part.joinpath("c", "0", *rest), array.joinpath("c", str(number), *rest)))
        return part, 0

    def write(self, target: Path, content: bytes) -> None:
        """Have these bytes take the place of ``target``."""
        aside = self._aside()
        aside.write_bytes(content)
        self._moves.append((aside, target))

    def made(self, folder: Path) -> None:
        """Make a folder durable with all that is in it then; it was made in its place, where nothing counted yet."""
        self._made.append(folder)

    def drop(self) -> None:
        """Let go of all that was written for it."""
        for folder in (self.making, *self._made):
            shutil.rmtree(folder, ignore_errors=True)
        self._moves.clear()
        self._made.clear()

    def finish(self) -> None:
        """Put everything in its place, durably."""
        walked = [found for folder in self._made for found in os.walk(folder)]
        files = [Path(here, name) for here, _, names in walked for name in names]
        sync_all([*files, *(source for source, _ in self._moves)], ())
        folders = {self.root}
        for source, target in self._moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
        for folder in [*(Path(here) for here, _, _ in walked), *(target.parent for _, target in self._moves)]:
            while folder not in folders:
                folders.add(folder)
                folder = folder.parent
        sync_all((), folders)
        self._moves.clear()
        self._made.clear()
        shutil.rmtree(self.making, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, names durable."""
    missing = [folder, *folder.parents]
    missing = missing[: next(i for i, path in enumerate(missing) if path.exists())]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def move_folders(moves: Iterable[tuple[Path, Path]]) -> None:
    """Put finished folders (sources) in the places of others (targets), which go aside and are removed."""
    moves = list(moves)
    for source, target in moves:
        make_folder(target.parent)
        if target.exists():
            os.rename(target, _old(source))
        os.rename(source, target)
    sync_all((), {target.parent for _, target in moves})
    for source, _ in moves:
        shutil.rmtree(_old(source), ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system knows no links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _old(source: Path) -> Path:
    return source.with_name(source.name + ".old")


__all__ = [
    "Batch",
    "begin_sync",
    "link",
    "make_folder",
    "move_folders",
    "sync_trees",
    "write_aside",
    "write_file",
]
