"""Which filters were anomalous before which validation pass: the join of the two axes. Array tier.

Validation pass v goes with the records in (iteration of the previous pass, iteration of v]; the first pass with all
records up to it. A *member* is a pair (pass, filter).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def pass_of(iterations: npt.NDArray[np.integer], passes: npt.NDArray[np.integer]) -> Integers:
    """Number of the pass that each record goes with, −1 for records after the last pass; both ascending."""
    number = np.searchsorted(passes, iterations, side="left").astype(np.int64)
    return np.where(number < len(passes), number, -1)


def alarms(excess: npt.NDArray[np.floating]) -> tuple[Integers, Integers]:
    """(record, filter) of every filter at or above its alarm level; ``excess`` is (records, filters), NaN = none."""
    with np.errstate(invalid="ignore"):
        record, filter_ = np.nonzero(excess >= 1)
    return record.astype(np.int64), filter_.astype(np.int64)


def listed(lowest: npt.NDArray[np.integer]) -> tuple[Integers, Integers]:
    """(record, filter) of every entry of a ranked list, (records, ranks) positions of filters, −1 = none."""
    record, rank = np.nonzero(lowest >= 0)
    return record.astype(np.int64), lowest[record, rank].astype(np.int64)


def members(found: tuple[Integers, Integers], number: Integers) -> Integers:
    """Distinct (pass, filter) of (record, filter), sorted; ``number`` is the pass of each record."""
    record, filter_ = found
    pairs = np.stack([number[record], filter_], axis=1)
    return np.unique(pairs[pairs[:, 0] >= 0], axis=0)


def strongest(
    score: npt.NDArray[np.floating], number: Integers, passes: int, first: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """Largest |score| of each layer between two passes; (records, filters) → (passes, layers), NaN where none is."""
    out = np.full((passes, len(first)), np.nan, np.float32)
    if len(score) and len(first):
        of_layer = np.fmax.reduceat(np.abs(score), first, axis=1)
        for place in np.unique(number[number >= 0]).tolist():
            out[place] = np.fmax.reduce(of_layer[number == place], axis=0)
    return out


def front(found: Integers, passes: int, filter_layer: npt.NDArray[np.integer], layers: int) -> npt.NDArray[np.int32]:
    """Number of anomalous filters of each layer at each pass, (passes, layers); ``found`` as of ``members``."""
    out = np.zeros((passes, layers), np.int32)
    np.add.at(out, (found[:, 0], filter_layer[found[:, 1]]), 1)
    return out


def together(parts: list[Any]) -> Integers:
    """Members of several windows as one sorted set."""
    return np.unique(np.concatenate([np.empty((0, 2), np.int64), *parts]), axis=0)


__all__ = ["alarms", "front", "listed", "members", "pass_of", "strongest", "together"]
