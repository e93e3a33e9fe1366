"""Which statistics are watched, and how each is made comparable over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Signal:
    """A watched statistic.

    ``logarithm``: taken where positive, NaN elsewhere. ``difference``: an integrated quantity, watched as its change
    since the previous record. ``per_rate``: an update, so log η of its parameter group is taken off.
    """

    name: str
    logarithm: bool = True
    difference: bool = False
    per_rate: bool = False

    def values(self, raw: npt.NDArray[np.float32], log_rate: Array) -> Array:
        """From (records, rows) as stored and log η (records, rows) to the watched series, (records, rows) float64."""
        series = raw.astype(np.float64)
        if self.logarithm:
            series = np.log(series, out=np.full_like(series, np.nan), where=series > 0)
        if self.per_rate:
            series = series - log_rate
        if self.difference:
            change = np.full_like(series, np.nan)
            change[1:] = series[1:] - series[:-1]
            series = change
        series[~np.isfinite(series)] = np.nan
        return series


FILTER_SIGNALS: tuple[Signal, ...] = (
    Signal("update_angle", per_rate=True),
    Signal("update_ratio2", per_rate=True),
    Signal("grad_ratio2"),
    Signal("w_rms", difference=True),
    Signal("bn_gamma", logarithm=False, difference=True),
    Signal("bn_beta", logarithm=False, difference=True),
    Signal("bn_running_mean", logarithm=False, difference=True),
    Signal("bn_running_var", difference=True),
)
MODEL_SIGNALS: tuple[Signal, ...] = (Signal("loss"), Signal("grad_norm"))
