"""Tasks of several parts of the work that wait for nothing of each other, computed at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

import dask
from dask.callbacks import Callback

T = TypeVar("T")

Progress = Callable[[str, float], None]


class Later(Generic[T]):
    """What a part of a batch comes to; ``value`` is there once the batch is computed."""

    value: T


class Batch:
    """Parts of the work, computed together: no worker stands idle at the end of one before the next begins.

    >>> batch = Batch()
    >>> total = batch.add([dask.delayed(abs)(-2), dask.delayed(abs)(3)], sum)
    >>> batch.compute("an example", None)
    >>> total.value
    5
    """

    def __init__(self) -> None:
        self._parts: list[tuple[list[Any], Callable[[list[Any]], None]]] = []

    def add(self, tasks: Sequence[Any], then: Callable[[list[Any]], T]) -> Later[T]:
        """One part: its tasks, and what is made of their results, in the same order, in this process."""
        later: Later[T] = Later()
        self._parts.append((list(tasks), lambda results: setattr(later, "value", then(results))))
        return later

    def compute(self, what: str, progress: Progress | None) -> None:
        """Do all that was added, on whatever scheduler is set; threads of our own report progress."""
        parts, self._parts = self._parts, []
        results = iter(compute([task for tasks, _ in parts for task in tasks], what=what, progress=progress))
        for tasks, then in parts:
            then(list(itertools.islice(results, len(tasks))))


def alone(part: Callable[..., Later[T]], *given: Any, what: str = "", progress: Progress | None = None) -> T:
    """What ``part(batch, *given)`` comes to, done in a batch of its own."""
    batch = Batch()
    later = part(batch, *given)
    batch.compute(what, progress)
    return later.value


def compute(tasks: list[Any], *, what: str, progress: Progress | None) -> tuple[Any, ...]:
    """``dask.compute`` of everything at once, on whatever scheduler is set; threads of our own report progress."""
    watcher: AbstractContextManager[Any] = nullcontext() if progress is None else _Watcher(what, progress)
    if progress is not None:
        progress(what, 0.0)
    with watcher:
        results: tuple[Any, ...] = dask.compute(*tasks)
    if progress is not None:
        progress(what, 1.0)
    return results


class _Watcher(Callback):
    """Tells how many tasks are done; Dask calls it in the main thread. A distributed scheduler ignores it."""

    def __init__(self, what: str, progress: Progress) -> None:
        self._what, self._progress, self._done = what, progress, 0

    def _posttask(self, key: Any, result: Any, dsk: Any, state: Any, worker: Any) -> None:
        self._done += 1
        total = sum(len(state[name]) for name in ("waiting", "ready", "running", "finished"))
        self._progress(self._what, min(1.0, self._done / max(total, 1)))


__all__ = ["Batch", "Later", "Progress", "alone", "compute"]
