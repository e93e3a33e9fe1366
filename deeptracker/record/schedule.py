"""At which steps something is recorded."""

from __future__ import annotations

from dataclasses import dataclass

from deeptracker.errors import InputError


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every ``every``-th step in [start, stop); ``every=None`` never."""

    every: int | None
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise InputError(f"every must be a positive number of steps, not {self.every}")
        if self.stop is not None and self.stop <= self.start:
            raise InputError(f"stop={self.stop} is not past start={self.start}: nothing would be recorded")

    def due(self, step: int) -> bool:
        """Whether ``step`` is on the schedule."""
        if self.every is None or step < self.start or (self.stop is not None and step >= self.stop):
            return False
        return (step - self.start) % self.every == 0
