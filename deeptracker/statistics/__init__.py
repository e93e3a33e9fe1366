"""One pass over parameters: accumulators with merge laws, and the statistics that follow from them."""

from deeptracker.statistics.accumulate import GRADIENT, WEIGHT, accumulate_gradients, accumulate_weights, warm_up
from deeptracker.statistics.derive import derive
from deeptracker.statistics.distributions import (
    HISTOGRAM_EDGES,
    THRESHOLDS,
    change_ratio_cdf,
    histogram,
    quartiles,
    stable_rank,
)
from deeptracker.statistics.merge import merge

__all__ = [
    "GRADIENT",
    "HISTOGRAM_EDGES",
    "THRESHOLDS",
    "WEIGHT",
    "accumulate_gradients",
    "accumulate_weights",
    "change_ratio_cdf",
    "derive",
    "histogram",
    "merge",
    "quartiles",
    "stable_rank",
    "warm_up",
]
