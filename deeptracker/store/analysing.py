"""The one analysis of a run: from its first stage to its last, so that no stage is made of another one's half."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from deeptracker.errors import LockedRunError
from deeptracker.store.layout import ANALYSIS_LOCK
from deeptracker.store.place import Lock, Place

_held: ContextVar[Mapping[str, Lock] | None] = ContextVar("held", default=None)
_writing: ContextVar[frozenset[str]] = ContextVar("writing", default=frozenset())


@contextmanager
def analysing(path: Place) -> Iterator[Lock]:
    """Be the one who analyses a run; a block inside another of the same run takes part in it.

    Raises
    ------
    LockedRunError
        Another process, or thread, analyses the run.
    """
    held, name = _held.get() or {}, str(path)
    if name in held:
        yield held[name]
        return
    lock = (path / ANALYSIS_LOCK).lock(path)
    token = _held.set({**held, name: lock})
    try:
        yield lock
    finally:
        _held.reset(token)
        lock.release()


@contextmanager
def alone(path: Place) -> Iterator[None]:
    """Be the one who writes a stage within an analysis: what lies beside the stages that count is another's rest.

    Raises
    ------
    LockedRunError
        The block is inside another one.
    """
    writing, name = _writing.get(), str(path)
    if name in writing:
        raise LockedRunError.held(path, "this process", True)
    token = _writing.set(writing | {name})
    try:
        yield
    finally:
        _writing.reset(token)


__all__ = ["alone", "analysing"]
