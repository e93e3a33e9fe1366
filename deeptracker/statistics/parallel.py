"""Work on rows of many arrays, shared among threads. Kernels that release the GIL gain, others lose nothing."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

_WORTH_A_THREAD = 1 << 20  # values: a millisecond; waking a thread takes a good part of one
_MOST_THREADS = 16
_SHARES = 16  # of a thread: one that was held up by others leaves the rest of its work to the other threads


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # pragma: no cover - not on Linux
        return os.cpu_count() or 1


class RowShares:
    """Shares of the rows of some arrays, taken one after another by whichever thread is free.

    Rows are never divided, so results by row do not depend on the number of threads.

    Parameters
    ----------
    shapes : (rows, values a row) of each array.
    threads : at most so many; default: the cores of this process. Small work stays in the calling thread.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], threads: int | None = None) -> None:
        total = sum(rows * size for rows, size in shapes)
        wanted = max(1, min(threads or available_cores(), _MOST_THREADS, total // _WORTH_A_THREAD))
        most = max(_WORTH_A_THREAD // 2, total // (wanted * _SHARES)) if wanted > 1 else total
        self.shares: list[tuple[int, int, int]] = []
        for number, (rows, size) in enumerate(shapes):
            cuts = min(rows, -(-rows * size // max(1, most)))
            for cut in range(cuts):
                self.shares.append((number, rows * cut // cuts, rows * (cut + 1) // cuts))
        self._others = wanted - 1
        self._pool = ThreadPoolExecutor(self._others, "deeptracker-rows") if self._others else None

    def run(self, work: Callable[[int, int, int], None]) -> None:
        """Call ``work(array, first row, row after the last)`` for every share; returns when all are done."""
        if self._pool is None:
            for share in self.shares:
                work(*share)
            return
        left = deque(self.shares)

        def take() -> None:
            while True:
                try:
                    share = left.popleft()
                except IndexError:
                    return
                work(*share)

        others = [self._pool.submit(take) for _ in range(self._others)]
        take()
        for other in others:
            other.result()


__all__ = ["RowShares", "available_cores"]
