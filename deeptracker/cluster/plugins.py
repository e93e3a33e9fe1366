"""What workers do as soon as they are there: load what tasks need, and keep memory that was freed."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

from distributed import WorkerPlugin

TASKS = "deeptracker.analysis"
"""The module that loads whatever tasks of an analysis call: a second or two, with compiled kernels."""

_TRIM, _MAP, _ARENAS = -1, -3, -8  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of mallopt(3)
_KEPT, _MAPPED = 128 << 20, 32 << 20  # bytes; the latter is the most that glibc takes


class KeepFreed(WorkerPlugin):
    """Keep some of what was freed, as glibc does where it is left alone.

    Dask has its workers give all memory back at once. Then every array above 128 kB is a new mapping, whose pages are
    made and zeroed one by one, which takes scores a good part of their time. All threads share what is kept: with a
    heap of its own each (codecs, event loop, tasks) a worker would keep several times as much. A worker that has
    nothing left to do gives everything back: the next stage needs arrays of other sizes.
    """

    name = "deeptracker-keep-freed"

    def setup(self, worker: Any) -> None:
        """In the worker's process, as soon as it is there."""
        self._worker, self._give_back = worker, None
        try:
            libc = ctypes.CDLL(None)
            choose, self._give_back = libc.mallopt, libc.malloc_trim
        except (OSError, AttributeError, TypeError):  # no glibc
            return
        choose(_ARENAS, 1)
        choose(_MAP, _MAPPED)
        choose(_TRIM, _KEPT)

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Of a task of the worker: of the last one, all memory goes back."""
        if finish == "forgotten" and self._give_back is not None and not self._worker.state.tasks:
            self._give_back(0)


class Load(WorkerPlugin):
    """Load what tasks need before the first of them comes."""

    name = "deeptracker-load"

    def setup(self, worker: Any) -> None:
        """In the worker's process, as soon as it is there."""
        importlib.import_module(TASKS)


__all__ = ["KeepFreed", "Load"]
