"""Slow shifts: a layer that leaves its past by little at each record, but goes on to.

Scores are compared with the alarm level one record at a time. What is too small for that and lasts is found by its
sum (CUSUM, Page 1954, doi:10.1093/biomet/41.1-2.100). Layers of a sound training drift all the time, by up to two and
a half scales of their residuals; a sum counts only what is beyond that. Its reference, the median of up to 200
records before, does not follow a shift before it is a hundred records old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import numpy.typing as npt

from deeptracker.detect.alarms import Alarm, stretches
from deeptracker.detect.tail import Levels, alarm_levels
from deeptracker.schema.derived import SIGNALS

if TYPE_CHECKING:
    from deeptracker.detect.parameters import Parameters

Sums = npt.NDArray[np.float64]

FALSE_PER_1000 = 0.05  # of the sums of all signals together
LEAST_LEVEL = 25.0
ALLOWED = 2.5
_MOST = 8.0  # that one record adds, before what is allowed comes off
_LOST = 5  # records without a score after which a sum begins anew


@numba.njit(cache=True, nogil=True)
def _sums(scores: Any, out: Any, begun: Any) -> None:
    records, layers = scores.shape
    for layer in range(layers):
        for sign in (1.0, -1.0):
            total, since, without = 0.0, 0, 0
            for t in range(records):
                score = scores[t, layer]
                if np.isnan(score):
                    without += 1
                    if without >= _LOST:
                        total = 0.0
                    continue
                without = 0
                if total <= 0:
                    since = t
                total = max(total + min(max(sign * score, -_MOST), _MOST) - ALLOWED, 0.0)
                if total > abs(out[t, layer]):
                    out[t, layer], begun[t, layer] = sign * total, since


def sums(scores: npt.NDArray[np.float32]) -> tuple[Sums, npt.NDArray[np.int64]]:
    """The larger of the sums upwards and downwards, signed, and the record where it began.

    ``scores`` (records, layers), NaN where there is none: it adds nothing, and five in a row begin all anew.
    Both results have its shape; 0 and the record itself where nothing is summed up.
    """
    out = np.zeros(scores.shape)
    begun = np.repeat(np.arange(len(scores), dtype=np.int64)[:, None], scores.shape[1], 1)
    _sums(np.ascontiguousarray(scores, np.float64), out, begun)
    return out, begun


def shift_alarms(found: Parameters, gap: int) -> list[Alarm]:
    """One alarm for each stretch in which the sum of a layer's signal is above its level.

    It begins where its sum did, is known where that crosses the level, and ends where it is largest: from there on
    the sum only wears off. Records before the frontier of a thinned run raise none.
    """
    out = []
    share = FALSE_PER_1000 / 1000 / len(SIGNALS)
    for number, name in enumerate(SIGNALS):
        scores = found.layers.values[number].copy()
        scores[max(found.frontier - _LOST, 0) : found.frontier] = np.nan  # what came before was judged then
        heights, begun = sums(scores)
        levels = _levels(np.abs(heights), np.isfinite(scores).any(axis=1), share)
        with np.errstate(invalid="ignore"):
            excess = np.nan_to_num(np.abs(heights) / levels.level[:, None])
        excess[: found.frontier] = 0
        for place in np.flatnonzero((excess >= 1).any(axis=0)).tolist():
            for first, last in stretches(excess[:, place] >= 1, found.iteration, gap):
                top = first + int(np.abs(heights[first : last + 1, place]).argmax())
                onset = int(found.iteration[begun[first, place]])
                height = float(heights[top, place])
                falsely = float(levels.false_per_1000(top, abs(height)) or 0.0) * len(SIGNALS)
                facts = {"score": height, "at": int(found.iteration[top])}
                out.append(
                    Alarm("shift", place, name, onset, int(found.iteration[top]), onset, int(found.iteration[first]),
                          float(excess[top, place]), falsely, facts=facts)
                )  # fmt: skip
    return out


def _levels(heights: Sums, known: npt.NDArray[np.bool_], share: float) -> Levels:
    """Alarm level of every record, from the largest of the sums before that belong to no alarm.

    A sum that crosses the level grew up to it for many records, and wears off for as many: all of these are left out,
    or each alarm would hide what comes after it, its own rest included.
    """
    maxima = np.where(known, heights.max(axis=1, initial=0.0), np.nan)
    levels, left_out = alarm_levels(maxima, share, least=LEAST_LEVEL), 0
    while True:
        with np.errstate(invalid="ignore"):
            crossing = heights >= levels.level[:, None]
        for place in np.flatnonzero(crossing.any(axis=0)).tolist():
            summed = np.concatenate([[False], heights[:, place] > 0, [False]])
            begins, ends = (np.flatnonzero(np.diff(summed.astype(np.int8)) == sign) for sign in (1, -1))
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
                if crossing[begin:end, place].any():
                    maxima[begin:end] = np.nan
        if np.isnan(maxima).sum() == left_out:
            return levels
        left_out = int(np.isnan(maxima).sum())
        again = alarm_levels(maxima, share, least=LEAST_LEVEL)
        levels = Levels(  # what is left out may have been what was still missing for a level
            np.where(np.isnan(again.level), levels.level, again.level),
            [new or old for new, old in zip(again.tails, levels.tails, strict=True)],
        )


__all__ = ["shift_alarms", "sums"]
