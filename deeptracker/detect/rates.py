"""Learning-rate events: which jumps there were, and whether each is an ordinary label or an anomaly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

JUMP = 0.2
_SLOPE = 5
_SPIKE = np.log(3)
_UNDONE = 0.01


@dataclass(frozen=True, slots=True)
class RateEvent:
    """A jump of the learning rate: position of the first record at the new rate, and the factor.

    ``spike`` is an anomaly (an undeclared rise by 3 or more, or one undone within 1% of the run); ``end`` is then
    the position at which the old rate was back, or None.
    """

    position: int
    factor: float
    spike: bool
    end: int | None = None


def jumps(log_rate: Array) -> npt.NDArray[np.int64]:
    """Positions with |Δ log η − trailing slope| > 0.2 in one record, (records,) → (jumps,).

    The slope is the median of the last five changes, so that warm-up, cosine and one-cycle give none; nor does a
    change that goes on in the same direction but more slowly (the start of a linear warm-up). NaN and −inf (η = 0)
    give none.
    """
    with np.errstate(invalid="ignore"):  # −inf from −inf: the rate stays at zero
        change = np.diff(log_rate, prepend=log_rate[:1])
    change[~np.isfinite(change)] = 0
    found = []
    for t in range(2, len(change)):
        slope = np.median(change[max(1, t - _SLOPE) : t])
        slower = change[t] * change[t - 1] > 0 and abs(change[t]) <= 1.01 * abs(change[t - 1])
        if abs(change[t] - slope) > JUMP and abs(change[t]) > JUMP and not slower:
            found.append(t)
    return np.array(found, np.int64)


def rate_events(rate: Array) -> list[RateEvent]:
    """Jumps of one learning-rate series (records,), each classified; a spike's way back is part of the spike."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_rate = np.log(rate)
    positions = jumps(log_rate)
    soon = max(10, int(np.ceil(_UNDONE * len(rate))))
    events: list[RateEvent] = []
    belongs: set[int] = set()
    for t in positions.tolist():
        if t in belongs:
            continue
        rise = log_rate[t] - log_rate[t - 1]
        back = [int(s) for s in positions if s > t and abs(log_rate[s] - log_rate[t - 1]) < JUMP]
        undone = back[0] if back else None
        spike = rise > 0 and (rise >= _SPIKE or (undone is not None and undone - t <= soon))
        if spike and undone is not None:
            belongs.update(int(s) for s in positions if t < s <= undone)
        events.append(RateEvent(t, float(np.exp(min(rise, 700.0))), bool(spike), undone if spike else None))
    return events


def segments(rates: Array, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """First record of the segment that each record belongs to.

    ``rates`` is (records, groups), ``steps`` (records,) optimizer steps since the previous record. A segment ends at
    a jump of any group's learning rate and where the spacing changes: windows never mix either. A spacing that is
    not known (−1: the first record after a resume) is that of the record before.
    """
    breaks = np.zeros(len(steps), bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        for group in range(rates.shape[1]):
            breaks[jumps(np.log(rates[:, group]))] = True
    if len(steps) > 2:
        known = np.maximum.accumulate(np.where(steps >= 0, np.arange(len(steps)), 0))
        spacing = steps[known]
        breaks[2:] |= spacing[2:] != spacing[1:-1]
    starts = np.where(breaks, np.arange(len(steps)), 0)
    return np.maximum.accumulate(starts).astype(np.int64)


def segments_of_updates(starts: npt.NDArray[np.int64], steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """As ``segments``, where the first step at a new rate still belongs to the segment before.

    An optimizer's memory is of the gradients: at that step the update over its rate is what it was before, and if it
    is not, the memory was lost. ``starts`` as ``segments`` gives them; where a record is several steps (or their
    number is not known), nothing is changed.
    """
    out = starts.copy()
    for first in np.unique(starts[starts > 0]).tolist():
        if steps[first] == 1:
            out[starts == first] = first + 1
            out[first] = out[first - 1]
    return out
