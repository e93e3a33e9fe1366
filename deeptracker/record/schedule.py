"""When something is due, and how a limit on the recorder's cost thins that out."""

from __future__ import annotations

import time
from dataclasses import dataclass

from deeptracker.errors import InputError

_RECORDS_BEFORE_CHANGE = 8
_SECONDS_BEFORE_CHANGE = 0.5
_PATIENCE = 8  # so many times longer before recording more often again
_MARGIN = 0.4  # and only if twice the cost would then be well below the limit


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every ``every``-th step in [start, stop); ``every=None`` is never.

    Raises
    ------
    InputError
        ``every`` is not a positive whole number, or the bounds are the wrong way round.
    """

    every: int | None
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.every is not None and (not isinstance(self.every, int) or self.every < 1):
            raise InputError(f"every must be a positive whole number, not {self.every!r}")
        if self.stop is not None and self.stop <= self.start:
            raise InputError(f"stop={self.stop} does not come after start={self.start}")

    def due(self, step: int, stride: int = 1) -> bool:
        """Whether ``step`` is to be recorded; ``stride`` > 1 keeps every so many-th of the due steps."""
        if self.every is None or step < self.start or (self.stop is not None and step >= self.stop):
            return False
        return (step - self.start) % (self.every * stride) == 0


class Overhead:
    """Keeps the share of time that recording takes under a limit, by recording every 2nd, 4th, 8th … due step.

    Parameters
    ----------
    limit : share of the elapsed time, 0.02 for two percent; None = no limit.
    """

    def __init__(self, limit: float | None) -> None:
        if limit is not None and not 0 < limit < 1:
            raise InputError(f"max_overhead must lie between 0 and 1 (0.02 for 2%), not {limit!r}")
        self.limit, self.stride = limit, 1
        self._since: tuple[float, float] | None = None
        self._records = 0

    def note(self, spent: float, recorded: bool) -> bool:
        """Look at the cost so far (seconds, from any start); True if the stride changed."""
        if self.limit is None:
            return False
        now = time.perf_counter()
        if self._since is None:  # the first record prepares much that comes once
            if recorded:
                self._since = (now, spent)
            return False
        self._records += recorded
        elapsed, cost = now - self._since[0], spent - self._since[1]
        if self._records < _RECORDS_BEFORE_CHANGE or elapsed < _SECONDS_BEFORE_CHANGE:
            return False
        share, stride = cost / elapsed, self.stride
        if share > self.limit:
            stride *= 2
        elif self.stride > 1 and share < _MARGIN * self.limit and self._records >= _PATIENCE * _RECORDS_BEFORE_CHANGE:
            stride //= 2
        elif self._records < 2 * _PATIENCE * _RECORDS_BEFORE_CHANGE:
            return False
        self._since, self._records = (now, spent), 0
        changed, self.stride = stride != self.stride, stride
        return changed


__all__ = ["Overhead", "Schedule"]
