"""Snapshots on their way: on a device their numbers arrive after the training has gone on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from deeptracker.sink import Sink

_MOST = 4  # snapshots in flight before the training waits for the oldest


@dataclass(frozen=True, slots=True)
class Parcel:
    """One iteration's rows: whether their numbers are there, and what hands them to the sink."""

    ready: Callable[[], bool]
    deliver: Callable[[Sink], None]


class Outbox:
    """Keeps parcels in the order of their iterations; on the processor each goes out at once."""

    def __init__(self) -> None:
        self._parcels: deque[Parcel] = deque()

    def add(self, parcel: Parcel, sink: Sink) -> None:
        """Take a parcel, and deliver all that are ready."""
        self._parcels.append(parcel)
        self.deliver(sink)

    def deliver(self, sink: Sink, *, wait: bool = False) -> None:
        """Deliver what is ready; with ``wait`` everything. A parcel that fails is gone, its error the caller's."""
        while self._parcels and (wait or len(self._parcels) > _MOST or self._parcels[0].ready()):
            self._parcels.popleft().deliver(sink)


__all__ = ["Outbox", "Parcel"]
