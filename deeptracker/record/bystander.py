"""The part of a rank that has nothing to read: under DDP all ranks hold the same weights, and one of them records."""

from __future__ import annotations

from typing import Any

from deeptracker.sink import Sink


class Bystander:
    """In the place of ``Snapshots``: no hooks, no rows, no cost."""

    records = 0

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}
        self.scalars = self

    def step(self, sink: Sink, step: int, loss: Any, batch: tuple[Any, Any] | None) -> None:
        """Nothing: the weights are those of rank 0."""

    def note(self, step: int, scalars: dict[str, Any]) -> None:
        """Nothing: scalars are those of rank 0."""

    @property
    def pending(self) -> bool:
        """Whether scalars were noted that no step has taken."""
        return False

    def restore(self, sink: Sink) -> None:
        """Nothing."""

    def begin(self, sink: Sink) -> None:
        """Nothing."""

    def forget(self) -> None:
        """Nothing."""

    def flush(self, sink: Sink) -> None:
        """Nothing."""

    def remove(self) -> None:
        """Nothing."""


__all__ = ["Bystander"]
