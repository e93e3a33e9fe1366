"""Snapshots on their way: on a device their numbers arrive after the training has gone on."""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from deeptracker.sink import Sink

_MOST = 4  # snapshots in flight before the training waits for the oldest


@dataclass(frozen=True, slots=True)
class Parcel:
    """One iteration's rows: whether their numbers are there, and what hands them to the sink."""

    ready: Callable[[], bool]
    deliver: Callable[[Sink], None]


class Outbox:
    """Keeps parcels in the order of their iterations.

    The newest stays until the next one comes, since scalars of its iteration may still be logged; on the processor
    all others go out at once.
    """

    def __init__(self) -> None:
        self._parcels: deque[Parcel] = deque()
        self._sink: Sink | None = None

    def add(self, parcel: Parcel, sink: Sink) -> None:
        """Take a parcel, and deliver all before it that are ready."""
        self._parcels.append(parcel)
        if self._sink is None:  # a training that ends without close() leaves its last iteration here
            atexit.register(self._at_exit)
        self._sink = sink
        self.deliver(sink)

    def deliver(self, sink: Sink, *, wait: bool = False) -> None:
        """Deliver what is ready; with ``wait`` everything. A parcel that fails is gone, its error the caller's."""
        while len(self._parcels) > (0 if wait else 1) and (
            wait or len(self._parcels) > _MOST or self._parcels[0].ready()
        ):
            self._parcels.popleft().deliver(sink)
        if wait and self._sink is not None:
            atexit.unregister(self._at_exit)
            self._sink = None

    def _at_exit(self) -> None:
        with suppress(Exception):  # nobody is left to be told
            if self._sink is not None:
                self.deliver(self._sink, wait=True)


__all__ = ["Outbox", "Parcel"]
