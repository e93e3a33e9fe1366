"""How accumulators of parts combine into those of the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

LAWS: dict[str, Callable[..., Any]] = {"min": np.fmin.reduceat, "max": np.fmax.reduceat}
"""Every other column is a sum."""


def merge(
    parts: npt.NDArray[np.float64], first: npt.NDArray[np.intp], columns: tuple[str, ...]
) -> npt.NDArray[np.float64]:
    """Combine consecutive rows of accumulators.

    Parameters
    ----------
    parts : (rows, columns) float64, one row a part (a filter, say).
    first : first row of each whole, ascending; the last whole runs to the end. No whole may be empty.
    columns : name of each column, as in ``accumulate.WEIGHT``.

    Returns
    -------
    (wholes, columns) float64. Extremes ignore NaN (a part without finite values) and stay NaN if all parts are.
    """
    whole = np.add.reduceat(parts, first, axis=0)
    for name, law in LAWS.items():
        column = columns.index(name)
        whole[:, column] = law(parts[:, column], first)
    return whole
