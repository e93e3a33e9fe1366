"""When a server looks for objects that nobody refers to: while no visitor waits, or once many have left."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable, Iterable

EVERY = 1000
"""Milliseconds between two looks."""
QUIET = 0.1
"""Share of a processor below which nobody is served."""
LITTLE = 20
"""Collections of the youngest objects after which there is something to put away."""
APART = 20.0
"""Seconds between two sweeps over everything."""
MANY = 10
"""Sessions that ended, whose objects are worth a second in which whoever is there waits."""


class Sweep:
    """Python's own full collection looks at every object of every page: of twenty visitors each waits a second.

    Here it is left out. In quiet moments what is new is collected, and what stays is put where later collections do
    not look (``gc.freeze``); everything is gone through once sessions have ended, whose objects refer to one another.
    A server that is never quiet does so for many of them at once: what they held would otherwise grow without end.

    Parameters
    ----------
    sessions : gives the names of the sessions that are held.
    """

    def __init__(self, sessions: Callable[[], Iterable[str]]) -> None:
        self._sessions, self._held = sessions, set(sessions())
        self._ended = 0
        self._used, self._looked, self._swept = time.process_time(), time.monotonic(), time.monotonic()
        self._young = _collections()
        youngest, younger, _ = gc.get_threshold()
        gc.set_threshold(youngest, younger, 1_000_000)
        gc.freeze()

    def look(self) -> None:
        """Sweep, where it is quiet and there is something to do; to be called every second or so."""
        held = set(self._sessions())
        self._ended += len(self._held - held)
        self._held = held
        quiet = self._quiet()
        whole = self._ended >= (1 if quiet else MANY) and time.monotonic() - self._swept > APART
        if whole:
            self._ended, self._swept = 0, time.monotonic()
            gc.unfreeze()
        elif not quiet or _collections() - self._young < LITTLE:
            return
        gc.collect()
        gc.freeze()
        if whole:
            _give_back()
        self._young = _collections()

    def _quiet(self) -> bool:
        """Whether the process has done next to nothing since the last look."""
        used, now = time.process_time(), time.monotonic()
        share = (used - self._used) / max(now - self._looked, 1e-9)
        self._used, self._looked = used, now
        return share < QUIET


def _give_back() -> None:
    """Return memory that is free to the system: others need it, and the limit of visitors looks at what is held."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl returns it by itself
        if trim is not None:
            trim(0)


def _collections() -> int:
    return int(gc.get_stats()[0]["collections"])


__all__ = ["EVERY", "Sweep"]
