"""Of all signals the one that stands closest to its alarm level: of every thing at every record."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from deeptracker.detect.blocks import Block
from deeptracker.detect.carried import Found

Floats = npt.NDArray[np.float32]
Heights = npt.NDArray[np.float64]


@numba.njit(cache=True, nogil=True)
def _strongest(values: Any, heights: Any, score: Any, signal: Any, excess: Any) -> None:
    signals, records, things = values.shape
    for t in range(records):
        for thing in range(things):
            best, which = -1.0, -1
            for s in range(signals):
                size = abs(values[s, t, thing])
                if np.isnan(size):
                    continue
                # Uncalibrated: compare the scores themselves.
                relative = size / heights[s, t] if np.isfinite(heights[s, t]) else np.float64(size)
                if relative > best:
                    best, which = relative, s
            signal[t, thing] = which
            score[t, thing] = values[which, t, thing] if which >= 0 else np.nan
            excess[t, thing] = best if which >= 0 and np.isfinite(heights[which, t]) else np.nan


def strongest(values: Floats, heights: Heights) -> Found:
    """Score, signal and excess (|score| / level), (records, things) each.

    Parameters
    ----------
    values : (signals, records, things) scores, NaN where there is none.
    heights : (signals, records) alarm levels, NaN while uncalibrated.

    Returns
    -------
    NaN, −1 and NaN where no signal has a score; excess is NaN too where the signal has no level.
    """
    shape = values.shape[1:]
    found = np.empty(shape, np.float32), np.empty(shape, np.int8), np.empty(shape, np.float32)
    _strongest(np.ascontiguousarray(values), heights, *found)
    return found


@dataclass(slots=True)
class Peaks:
    """Of each layer and record: the filter that stands highest, (records, layers).

    ``excess`` is 0 where no filter has one; ``record`` (records,) the largest excess of any filter, NaN where there
    is none.
    """

    excess: Floats
    filter: npt.NDArray[np.int32]
    score: Floats
    signal: npt.NDArray[np.int8]
    record: Floats

    @classmethod
    def joined(cls, parts: list[Peaks]) -> Peaks:
        """Of consecutive windows."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__})


def strongest_window(
    blocks: list[Block],
    scores: list[list[Any]],
    into: tuple[Any, Any, Any],
    earlier: Any,
    heights: Heights,
    start: int,
    stop: int,
) -> Peaks:
    """One task: the filters of the whole net over some records, written, and what is to be known of each layer.

    Parameters
    ----------
    scores : of each block the regions of its signals, (records, filters).
    into : the regions of score, signal and excess, (records, all filters).
    earlier : a ``carried.Earlier``, whose records before the frontier stay as they were found then, or None.
    heights : (signals, stop − start) alarm levels.
    """
    shape = (stop - start, into[0].shape[1])
    found = np.empty(shape, np.float32), np.empty(shape, np.int8), np.empty(shape, np.float32)
    for block, signals in zip(blocks, scores, strict=True):
        values = np.stack([region.read(start, stop) for region in signals])
        for whole, part in zip(found, strongest(values, heights), strict=True):
            whole[:, block.filters] = part
    if earlier is not None and start < earlier.frontier:
        earlier.put_into(found, "filter", start, min(stop, earlier.frontier))
    for region, whole in zip(into, found, strict=True):
        region.put(start, whole)
    return _peaks(blocks, found)


def _peaks(blocks: list[Block], found: Found) -> Peaks:
    score, signal, excess = found
    rows = np.arange(len(score))
    places = []
    for block in blocks:
        borders = block.filters.start + np.searchsorted(block.layer, np.arange(int(block.layer[-1]) + 2))
        for first, stop in itertools.pairwise(borders.tolist()):
            places.append(first + np.nan_to_num(excess[:, first:stop], nan=-1.0).argmax(1))
    at = np.stack(places, 1)
    picked = (rows[:, None], at)
    return Peaks(
        np.nan_to_num(excess[picked]),
        at.astype(np.int32),
        score[picked],
        signal[picked],
        np.fmax.reduce(excess, axis=1),
    )


__all__ = ["Peaks", "strongest", "strongest_window"]
