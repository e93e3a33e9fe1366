"""What was read a moment ago, kept within bounds: views of one page, and of several sessions, ask for the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np

Kind = TypeVar("Kind")

BYTES = 128 << 20
"""Values that the process keeps, over all runs."""
LABELS = 96 << 20
"""Bytes of the labels of opened groups that the process keeps; a group without any counts as ``GROUP``."""
GROUP = 50_000


class Kept(Generic[Kind]):
    """The most recently used values, whose weights together stay within ``most``. Safe to use from threads."""

    def __init__(self, most: int) -> None:
        self.most, self.weight = most, 0
        self._items: OrderedDict[Hashable, tuple[Kind, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Kind], weigh: Callable[[Kind], int]) -> Kind:
        """The value of a key, made where it is not there. One that weighs too much is not kept."""
        with self._lock:
            found = self._items.get(key)
            if found is not None:
                self._items.move_to_end(key)
                return found[0]
        value = make()
        weight = weigh(value)
        with self._lock:
            if weight <= self.most and key not in self._items:
                self._items[key] = (value, weight)
                self.weight += weight
                while self.weight > self.most:
                    self.weight -= self._items.popitem(last=False)[1][1]
        return value

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._items.clear()
            self.weight = 0


def state_of(run: Any) -> Hashable | None:
    """What a run is read at: the same for the same commit and stages; None where it cannot tell."""
    token = getattr(run, "__dask_tokenize__", None)
    return None if token is None else hashable(token())


def hashable(value: Any) -> Hashable:
    """Lists, slices and arrays as tuples."""
    if isinstance(value, list | tuple):
        return tuple(hashable(one) for one in value)
    if isinstance(value, slice):
        return value.start, value.stop, value.step
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tobytes()
    if isinstance(value, dict):
        return tuple((name, hashable(one)) for name, one in sorted(value.items()))
    return value


__all__ = ["BYTES", "GROUP", "LABELS", "Kept", "hashable", "state_of"]
