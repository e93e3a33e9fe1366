"""The alarm level: how high the strongest score of an iteration may rise before it is an alarm.

Scores of many filters over many iterations have heavier tails than any textbook distribution, so the level comes
from the run's own maxima: a generalised Pareto distribution above their 90% point, extrapolated to the rate of false
alarms that one is ready to bear. It is fitted on the past only and leaves out what already was an alarm, as in SPOT
(Siffer et al., KDD 2017, doi:10.1145/3097983.3098144).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEAST_RECORDS = 300
LEAST_MAXIMA = 150
REFIT = 25
_TAIL = 0.1
_PRIOR_SHAPE, _PRIOR_WEIGHT = 0.2, 100.0


@dataclass(frozen=True, slots=True)
class Tail:
    """Generalised Pareto tail above ``threshold``, exceeded by a share ``share`` of the maxima."""

    threshold: float
    scale: float
    shape: float
    share: float = _TAIL

    @classmethod
    def fit(cls, maxima: Array) -> Tail:
        """Fit to (n,) maxima by probability-weighted moments (Hosking & Wallis 1987).

        The shape is pulled towards 0.2 with the weight of 100 exceedances and kept within [0, 0.5]: thirty values do
        not tell a shape, and a bounded tail would call the first larger value an alarm.
        """
        threshold = float(np.quantile(maxima, 1 - _TAIL))
        excess = np.sort(maxima[maxima > threshold] - threshold)
        n = len(excess)
        if n < 5 or excess[-1] <= 0:
            return cls(threshold, max(float(np.std(maxima)), 1e-12), _PRIOR_SHAPE)
        mean = float(excess.mean())
        weighted = float(np.mean(excess * (1 - (np.arange(1, n + 1) - 0.35) / n)))
        shape = 2 - mean / (mean - 2 * weighted) if mean != 2 * weighted else _PRIOR_SHAPE
        shape = (n * shape + _PRIOR_WEIGHT * _PRIOR_SHAPE) / (n + _PRIOR_WEIGHT)
        shape = float(np.clip(shape, 0.0, 0.5))
        return cls(threshold, mean * (1 - shape), shape)

    def level(self, rate: float) -> float:
        """The value that a share ``rate`` of maxima exceeds."""
        ratio = self.share / rate
        if self.shape < 1e-6:
            return self.threshold + self.scale * float(np.log(ratio))
        return self.threshold + self.scale / self.shape * (ratio**self.shape - 1)

    def rate(self, value: float) -> float:
        """The share of maxima expected above ``value`` (at most ``share``)."""
        excess = max(value - self.threshold, 0.0)
        if self.shape < 1e-6:
            return self.share * float(np.exp(-excess / self.scale))
        return self.share * float((1 + self.shape * excess / self.scale) ** (-1 / self.shape))


@dataclass(frozen=True, slots=True)
class Levels:
    """Alarm level of every record, and the tail that it came from; NaN and None while uncalibrated."""

    level: Array
    tails: list[Tail | None]

    def false_per_1000(self, record: int, value: float) -> float | None:
        """False alarms expected per 1,000 records at this height; None while uncalibrated."""
        tail = self.tails[record]
        return None if tail is None else 1000 * tail.rate(value)


def alarm_levels(maxima: Array, rate: float, *, least: float = 0.0, borrowed: Array | None = None) -> Levels:
    """Level of each record from the maxima before it.

    Parameters
    ----------
    maxima : (records,) strongest |score| of each record; NaN where there was none.
    rate : share of records that may be false alarms.
    least : no level is lower, whatever the tail says.
    borrowed : maxima of earlier, similar runs, taken before this run's own; with them there is a level at once.
    """
    level = np.full(len(maxima), np.nan)
    tails: list[Tail | None] = [None] * len(maxima)
    earlier = np.empty(0) if borrowed is None else borrowed[np.isfinite(borrowed)]
    kept: list[float] = []
    tail: Tail | None = None
    height = np.nan
    for t, value in enumerate(maxima):
        enough = t >= LEAST_RECORDS and len(kept) >= LEAST_MAXIMA
        if (enough or len(earlier) >= LEAST_RECORDS) and (tail is None or t % REFIT == 0):
            tail = Tail.fit(np.concatenate([earlier, kept]))
            height = max(tail.level(rate), least)
        level[t], tails[t] = height, tail
        if np.isfinite(value) and not value >= height:
            kept.append(float(value))
    return Levels(level, tails)
