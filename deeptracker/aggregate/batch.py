"""Tasks of several parts of the work that wait for nothing of each other, computed at once."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dask
from dask.callbacks import Callback

S = TypeVar("S")
T = TypeVar("T")

Progress = Callable[[str, float], None]

_FETCHED = 32  # results, at once


class Later(Generic[T]):
    """What a part of a batch comes to; ``value`` is there once the batch is computed."""

    value: T

    def __init__(self) -> None:
        self._uses: list[Callable[[T], None]] = []

    def then(self, make: Callable[[T], S | Later[S]]) -> Later[S]:
        """What ``make(value)`` comes to, made as soon as there is a value."""
        later: Later[S] = Later()

        def use(value: T) -> None:
            later.take(make(value))

        if "value" in self.__dict__:
            use(self.value)
        else:
            self._uses.append(use)
        return later

    def take(self, made: T | Later[T]) -> None:
        """Set the value, or let it be that of another part, which is still to come."""
        if isinstance(made, Later):
            made.then(self.take)
            return
        self.value = made
        for use in self._uses:
            use(made)


class Batch:
    """Parts of the work that wait for nothing of each other, computed together, so that no worker stands idle at the
    end of one. They are begun in the order in which they were added; a cluster begins at once.

    What is made of a part's results is made in this process, while workers of a cluster go on with other parts; it
    may add further parts, which come before those that were added after the one that they follow.

    >>> batch = Batch()
    >>> total = batch.add([dask.delayed(abs)(-2), dask.delayed(abs)(3)], sum)
    >>> batch.compute("an example", None)
    >>> total.value
    5
    """

    def __init__(self) -> None:
        self._client = _cluster()
        self._added = 0
        self._follows: int | None = None
        self._parts: list[_Part] = []

    def add(self, tasks: Sequence[Any], then: Callable[[list[Any]], T | Later[T]]) -> Later[T]:
        """One part: its tasks, and what is made of their results, in the same order."""
        later: Later[T] = Later()
        self._added += 1
        place = self._added if self._follows is None else self._follows
        there = list(tasks) if self._client is None else self._client.compute(list(tasks), priority=-place)
        bisect.insort(self._parts, _Part(place, there, lambda results: later.take(then(results))), key=_place)
        return later

    def compute(self, what: str, progress: Progress | None) -> None:
        """Do all that was added, on the scheduler that was set when the batch was made; threads of our own report
        progress.
        """
        try:
            if self._client is None:
                self._on_threads(what, progress)
            else:
                self._on_cluster(what, progress)
        finally:
            self._follows = None
            self._parts.clear()

    def _on_threads(self, what: str, progress: Progress | None) -> None:
        while self._parts:
            parts, self._parts = self._parts, []
            results = iter(compute([task for part in parts for task in part.tasks], what=what, progress=progress))
            for part in parts:
                part.then(list(itertools.islice(results, len(part.tasks))))

    def _on_cluster(self, what: str, progress: Progress | None) -> None:
        if progress is not None:
            progress(what, 0.0)
        while self._parts:
            part = self._parts.pop(0)
            found: list[Any] = []
            while part.tasks:  # some after some: the workers let go of what was fetched
                found += self._client.gather(part.tasks[:_FETCHED])
                del part.tasks[:_FETCHED]
            self._follows = part.place
            part.then(found)
        if progress is not None:
            progress(what, 1.0)


@dataclass(slots=True)
class _Part:
    """``tasks``: futures of them where there is a cluster; ``place`` in the order of all parts."""

    place: int
    tasks: list[Any]
    then: Callable[[list[Any]], None]


def _place(part: _Part) -> int:
    return part.place


def _cluster() -> Any:
    """The client of a cluster, if tasks are to run on one and this is none of them: a task that waits for others
    must leave its thread to them, as ``dask.compute`` sees to.
    """
    scheduler = dask.config.get("scheduler", None)
    if not hasattr(scheduler, "gather"):
        return None
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return scheduler
    return None


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
