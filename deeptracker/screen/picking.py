"""Parts of a lazily indexed variable as NumPy, read in few pieces where the wanted positions lie scattered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Pick = slice | NDArray[Any]
"""What is wanted of an axis: a slice of step 1, or positions in any order."""
GAP = 512
"""Positions between two wanted ones up to which both are read at once: the length of a chunk."""


def pick(variable: xr.Variable, select: Mapping[str, Pick]) -> NDArray[Any]:
    """A variable's values at ``select`` (axis → slice or positions; an axis left out: all of it).

    Positions are read as stretches with the gaps between them, and may repeat; at most one axis has them.
    """
    key: list[Any] = [select.get(str(dim), slice(None)) for dim in variable.dims]
    scattered = next((axis for axis, part in enumerate(key) if not isinstance(part, slice)), None)
    if scattered is None:
        return np.asarray(variable[tuple(key)].values)
    places, back = np.unique(np.asarray(key[scattered], dtype=np.intp), return_inverse=True)
    if not len(places):
        key[scattered] = slice(0, 0)
        return np.asarray(variable[tuple(key)].values)
    pieces = []
    for stretch in np.split(places, np.flatnonzero(np.diff(places) > GAP) + 1):
        low = int(stretch[0])
        key[scattered] = slice(low, int(stretch[-1]) + 1)
        pieces.append(np.take(np.asarray(variable[tuple(key)].values), stretch - low, axis=scattered))
    return np.take(pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=scattered), back, axis=scattered)


def length(size: int, part: Pick | None) -> int:
    """How many positions of an axis of ``size`` are wanted."""
    if part is None:
        return size
    return len(range(*part.indices(size))) if isinstance(part, slice) else len(part)


def said(part: Pick) -> str:
    """The same as Python text."""
    if isinstance(part, slice):
        return f"slice({part.start}, {part.stop})"
    return str(np.asarray(part).tolist())


__all__ = ["Pick", "length", "pick", "said"]
