"""A limit on the disk that a run may take: what is recorded at every step, what more rarely, what stays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeptracker.errors import InputError

CORE = frozenset(
    {
        "update_angle", "update_ratio2", "update_norm2", "update_cosine", "grad_ratio2", "g_norm2", "w_rms",
        "w_norm2", "rotation_from_init", "bn_gamma", "bn_beta", "bn_running_mean", "bn_running_var",
        "nonfinite", "steps",
    }
)  # fmt: skip
"""What the detection reads, and what a plot of a training shows first."""

_WHOLE_EVERY = 100
_DENSE_LAST = 10_000
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Budget:
    """Under a budget a record holds the core statistics; those of every 100th hold all, the others NaN.

    Parameters
    ----------
    bytes : the log may take so many; kept by ``analyze``, which thins old shards without events.
    dense_last : so many of the last records are never thinned.
    """

    bytes: int
    dense_last: int = _DENSE_LAST

    def is_whole(self, number: int) -> bool:
        """Whether the ``number``-th record of a session holds all statistics."""
        return number % _WHOLE_EVERY == 0

    def core(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with NaN for what is not of the core; columns of NaN take next to no room."""
        return {
            name: value if name in CORE else np.full_like(np.asarray(value), np.nan) for name, value in row.items()
        }

    def attributes(self) -> dict[str, int]:
        """What a reader and the analysis need to know of it."""
        return {"bytes": self.bytes, "dense_last": self.dense_last, "whole_every": _WHOLE_EVERY}


def budget_of(given: int | str | None) -> Budget | None:
    """A budget from bytes, or from a text like ``"20GB"`` (powers of ten) or ``"20GiB"`` (powers of two).

    Raises
    ------
    InputError
        It is neither, or not positive.
    """
    if given is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\s*", str(given), re.IGNORECASE)
    unit = match[2].upper() if match else "?"
    unit = unit if unit in _UNITS else f"{unit}B"
    if match is None or unit not in _UNITS or float(match[1]) <= 0:
        raise InputError(f'disk_budget={given!r} is no size: give bytes, or a text like "20GB"')
    return Budget(int(float(match[1]) * _UNITS[unit]))


__all__ = ["CORE", "Budget", "budget_of"]
