"""Finds what was unusual: calibrated scores, the alarm level, states, the left and right rule, events."""

from deeptracker.detect.stage import detect

__all__ = ["detect"]
