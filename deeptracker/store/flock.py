"""The lock of the one writer of a run in a folder, and of its one analysis."""

from __future__ import annotations

import fcntl
import os
import socket
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from deeptracker.errors import LockedRunError, RunError
from deeptracker.store.durable import make_folder
from deeptracker.store.layout import ANALYSIS_LOCK

_TRIES = 20


class WriterLock:
    """An advisory lock on a file (``flock``): the kernel frees it when the process ends, however it ends.

    Raises
    ------
    LockedRunError
        Another writer holds it.
    """

    def __init__(self, path: Path, run: object, patience: float = 0.3) -> None:
        self._path, self._run = path, run
        self._descriptor: int | None = _open(path)
        deadline = time.monotonic() + patience
        # A reader that looks whether the run is live holds the lock for an instant: so try more than once.
        while not (_try_lock(self._descriptor) and self._is_there()):
            if not self._is_there():  # who held it removed it with what it was for
                os.close(self._descriptor)
                self._descriptor = _open(path)
            elif time.monotonic() >= deadline:
                holder = os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip()
                self.release()
                raise LockedRunError.held(run, holder, path.name == ANALYSIS_LOCK)
            else:
                time.sleep(0.02)
        with suppress(OSError):  # who holds it is only for messages: a full disk need not take it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        # A forked child (a data loader's worker) inherits the descriptor, and would keep the lock past our death.
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _close_in_child(reference))

    def check(self) -> None:
        """LockedRunError in a forked child; RunError where the run was moved or deleted: the lock went with it."""
        if self._descriptor is None:
            raise LockedRunError.held(self._run, "the process that this one was forked from", False)
        if not self._is_there():
            raise RunError(f"{self._run} was moved or deleted while it was written: put it back, or begin another")

    def _is_there(self) -> bool:
        try:
            return self._descriptor is not None and os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _close_in_child(reference: weakref.ref[Any]) -> None:
    lock = reference()
    if lock is not None:
        lock.release()


def _open(path: Path) -> int:
    """The file, made where it is missing; whoever held the lock may remove its folder meanwhile."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            make_folder(path.parent)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether a writer holds the lock right now."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


__all__ = ["WriterLock", "is_locked"]
