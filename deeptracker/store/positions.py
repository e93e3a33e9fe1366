"""Positions of rows whose own record is damaged, where they follow from what is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from deeptracker.errors import DamagedRunError
from deeptracker.store.commit import Commit
from deeptracker.store.joined import read_rows
from deeptracker.store.place import Place

_TWINS = {"filters": "layers", "layers": "filters"}
"""Groups of one schedule get their rows together."""


def positions(folder: Place, commit: Commit, group: str, first: int, stop: int) -> np.ndarray[Any, Any] | None:
    """Positions of rows [first, stop) of a growing group; None where they cannot be told.

    They strictly increase: where as many whole numbers lie between their neighbours as there are rows, each is known.
    Else filters and layers of the same schedule have the same rows.
    """
    growth = commit.groups[group]

    def at(row: int) -> int:
        return int(read_rows(folder, commit, group, growth.axis, row, row + 1)[0])

    try:
        low = growth.first if first == 0 else at(first - 1) + 1
        high = growth.last if stop == growth.rows else at(stop) - 1
        if low is not None and high is not None and high - low == stop - first - 1:
            return np.arange(low, high + 1, dtype=np.int64)
    except DamagedRunError:
        pass
    kind, _, schedule = group.partition("/")
    twin = commit.groups.get(f"{_TWINS.get(kind)}/{schedule}")
    if twin is None or (twin.rows, twin.first, twin.last) != (growth.rows, growth.first, growth.last):
        return None
    try:
        return read_rows(folder, commit, f"{_TWINS[kind]}/{schedule}", twin.axis, first, stop)
    except DamagedRunError:
        return None


__all__ = ["positions"]
