"""One pass over parameters: accumulators with merge laws, and the statistics that follow from them."""

from deeptracker.statistics.accumulate import GRADIENT, MOMENTS, WEIGHT, accumulate_gradients, accumulate_weights
from deeptracker.statistics.derive import derive, no_gradients
from deeptracker.statistics.distributions import (
    HISTOGRAM_EDGES,
    THRESHOLDS,
    change_ratio_cdf,
    histogram,
    histogram_quartiles,
    stable_rank,
)
from deeptracker.statistics.full import filter_quartiles, full_set
from deeptracker.statistics.merge import merge
from deeptracker.statistics.selection import quartiles
from deeptracker.statistics.standard import StandardSet, rows_of, warm_up

__all__ = [
    "GRADIENT",
    "HISTOGRAM_EDGES",
    "MOMENTS",
    "THRESHOLDS",
    "WEIGHT",
    "StandardSet",
    "accumulate_gradients",
    "accumulate_weights",
    "change_ratio_cdf",
    "derive",
    "filter_quartiles",
    "full_set",
    "histogram",
    "histogram_quartiles",
    "merge",
    "no_gradients",
    "quartiles",
    "rows_of",
    "stable_rank",
    "warm_up",
]
