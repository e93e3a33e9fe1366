"""What keeps a recorder out of the way of its training: counts its time, keeps its faults, says things once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class Guard:
    """Runs our work inside somebody's training.

    Parameters
    ----------
    strict : raise faults instead of saying the first one and counting all.
    """

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.faults = 0
        self.excused = 0.0  # seconds inside our calls that are the user's own work
        self._started = time.perf_counter()
        self._done = 0.0
        self._running: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds that our work has taken in the thread of the training."""
        running = 0.0 if self._running is None else time.perf_counter() - self._running
        return self._done + running - self.excused

    @property
    def elapsed(self) -> float:
        """Seconds since the recorder was made."""
        return time.perf_counter() - self._started

    def account(self, background: float, lost: int = 0) -> str:
        """What recording cost, for the person who trains.

        Parameters
        ----------
        background : CPU seconds of other threads.
        lost : rows that could not be stored.
        """
        share = f"{100 * self.seconds / max(self.elapsed, 1e-9):.1f}% of {self.elapsed:.1f} s"
        faults = f"; {self.faults} faults, {lost} rows lost" if self.faults else ""
        return f"{self.seconds:.1f} s ({share}), {background:.1f} s of CPU in the background{faults}"

    def __call__(self, work: Callable[[], None]) -> None:
        """Run ``work``; a fault of ours never ends the training."""
        outer = self._running is None  # a call inside a call is counted once
        if outer:
            self._running = time.perf_counter()
        try:
            work()
        except Exception as error:
            self.fault(error)
        finally:
            if outer and self._running is not None:
                self._done += time.perf_counter() - self._running
                self._running = None

    def fault(self, error: Exception) -> None:
        """Count a fault; the first is said."""
        self.faults += 1
        if self.strict:
            raise error
        if self.faults == 1:
            say(f"recording failed, the training goes on: {type(error).__name__}: {error}")


def say(text: str) -> None:
    """One line to the person who trains."""
    print(f"deeptracker: {text}", file=sys.stderr)


__all__ = ["Guard", "say"]
