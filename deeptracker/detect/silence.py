"""Why an analysed run has no events: nothing was unusual, or there is too little to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deeptracker.detect.classes import LEAST_PASSES

if TYPE_CHECKING:
    from deeptracker.store import Run


def silence(run: Run) -> str:
    """One sentence for a run whose list of events is empty.

    Raises
    ------
    MissingGroupError
        The run was not analysed.
    """
    run.dataset("anomalies/events")
    if _calibrated(run):
        return f"Nothing unusual: no event reached the alarm level{_nearest(run)}."
    if run.has("anomalies/iterations"):
        return "Too few records to tell what is unusual: an alarm level needs 300 of them."
    if run.validation_sets:
        return f"Too few passes to tell what is unusual: classes are scored from pass {LEAST_PASSES} on."
    return "Nothing to judge: alarms come from filters and from answers to images, and this run has neither."


def _nearest(run: Run) -> str:
    """From where on levels hold, and how near to its level the highest score of a filter, a layer or the net came."""
    if not run.has("anomalies/iterations"):
        return ""
    told = run.dataset("anomalies/iterations")
    pairs = (("filter_maximum", "filter_level"), ("layer_maximum", "layer_level"), ("model_score", "model_level"))
    shares = np.concatenate([(told[score] / told[level]).values for score, level in pairs], axis=1)
    judged = np.isfinite(shares).any(axis=1)
    if not judged.any():
        return ""
    at, highest = told["iteration"].values, np.where(np.isfinite(shares), shares, -np.inf).max(axis=1)
    return (
        f" from iteration {int(at[judged.argmax()]):,} on; the nearest score came to {highest.max():.0%} of its "
        f"level, at iteration {int(at[highest.argmax()]):,}"
    )


def _calibrated(run: Run) -> bool:
    """Whether anything was compared with an alarm level."""
    if run.has("anomalies/iterations"):
        levels = run.dataset("anomalies/iterations")
        if bool((levels["filter_level"].notnull() | levels["layer_level"].notnull()).any()):
            return True
    tables = [f"anomalies/validation/{view}/classes" for view in run.validation_sets]
    return any(bool(run.dataset(table)["class_score"].notnull().any()) for table in tables if run.has(table))
