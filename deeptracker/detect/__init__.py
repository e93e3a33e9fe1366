"""Finds what was unusual: calibrated scores, the alarm level, states, the left and right rule, events."""

from deeptracker.detect.answers import LONGEST, cut_passes
from deeptracker.detect.cost import anomalies_cost
from deeptracker.detect.stage import ALLOWED, detect

__all__ = ["ALLOWED", "LONGEST", "anomalies_cost", "cut_passes", "detect"]
