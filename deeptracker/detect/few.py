"""What stands out in a run of too few records for an alarm level: steps of layers' updates, shown, never an alarm."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deeptracker.detect.tail import LEAST_RECORDS

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]

LEAST_HEIGHT = 5.0
MOST_EVENTS = 10
_SETTLED = 3  # records at the beginning, where every training changes fast
_LEAST_SCALE = 0.05  # of a change of a logarithm: what a median of few records cannot vouch for
_SHARED = 0.5
"""Share of the layers that step together where the whole net does."""


@dataclass(frozen=True, slots=True)
class Step:
    """Layers whose updates changed from one record to the next.

    ``layers`` their numbers, strongest first; ``factors`` update after over update before, of each; ``height`` the
    median of their robust z; ``lasts``: the next records stay nearer to the new size than to the old one.
    """

    record: int
    layers: npt.NDArray[np.int64]
    factors: Array
    height: float
    lasts: bool

    @property
    def falls(self) -> bool:
        """Whether updates became smaller."""
        return bool(self.factors[0] < 1)


def steps(sizes: Array, log_rate: Array | None = None) -> list[Step]:
    """Steps of the layers' updates, highest first.

    Parameters
    ----------
    sizes : (records, layers) |Δw| / |w|; NaN and 0 are no step.
    log_rate : (records,) log η where it is known: what it explains is no step.

    Notes
    -----
    The change of the logarithm from record to record, less its median over the run, in robust deviations (1.4826 ×
    the median absolute deviation) of the same layer's changes. Those of one direction at one record are one step;
    what goes on in that direction at the next record, in as many layers or fewer, belongs to it.
    """
    series = np.log(sizes, out=np.full_like(sizes, np.nan), where=sizes > 0)
    if log_rate is not None:
        series = series - np.where(np.isfinite(log_rate), log_rate, np.nan)[:, None]
    change = np.full_like(series, np.nan)
    change[1:] = series[1:] - series[:-1]
    change[:_SETTLED] = np.nan
    if not np.isfinite(change).any():
        return []
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # a layer without any update
        own = change - np.nanmedian(change, axis=0)
        z = own / np.maximum(1.4826 * np.nanmedian(np.abs(own), axis=0), _LEAST_SCALE)
    out = []
    for record in range(_SETTLED, len(z)):
        for direction in (-1, 1):
            height = np.nan_to_num(direction * z[record])
            layers = np.argsort(-height, kind="stable")[: int((height >= LEAST_HEIGHT).sum())]
            if len(layers):
                out.append(Step(record, layers, np.exp(change[record, layers]), float(np.median(height[layers])),
                                _lasts(series[:, layers], record)))  # fmt: skip
    own = {(step.record, step.falls): len(step.layers) for step in out}
    first = [step for step in out if own.get((step.record - 1, step.falls), 0) < len(step.layers)]
    return sorted(first, key=lambda step: (-len(step.layers), -step.height))


def _lasts(series: Array, record: int) -> bool:
    before, after = series[max(record - 3, 0) : record], series[record + 1 : record + 4]
    if not len(after):
        return True
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        old, new, then = np.nanmedian(before, 0), series[record], np.nanmedian(after, 0)
        return not np.nanmedian(np.abs(then - new) - np.abs(then - old)) >= 0  # no update after it: nothing undoes it


def few_events(run: Run) -> list[dict[str, Any]]:
    """Documents of the highest steps of a run that is too short for alarms; ``false_per_1000`` is None.

    A step of at least half of the layers that stays is most likely one of the learning rate.
    """
    if not run.has("layers/dense"):
        return []
    table = run.dataset("layers/dense")
    if not 2 * _SETTLED < table.sizes["iteration"] < LEAST_RECORDS or "update_ratio2" not in table:
        return []
    iteration, names = table["iteration"].values, table["layer"].values.astype(str)
    log_rate = _log_rate(run, iteration)
    found = steps(table["update_ratio2"].values.astype(np.float64), log_rate)
    return [_document(step, iteration, names, log_rate is not None) for step in found[:MOST_EVENTS]]


def _log_rate(run: Run, iteration: npt.NDArray[np.int64]) -> Array | None:
    """Log of the mean rate of all parameter groups at each record; None where none was recorded."""
    if not run.has("scalars") or "learning_rate" not in run.dataset("scalars"):
        return None
    rates = (
        run.dataset("scalars")["learning_rate"].load().reindex(iteration=iteration).values.reshape(len(iteration), -1)
    )
    rate = rates.mean(1) if rates.shape[1] else np.full(len(iteration), np.nan)
    if not (rate > 0).any():
        return None
    return np.log(rate, out=np.full_like(rate, np.nan), where=rate > 0)


def _document(
    step: Step, iteration: npt.NDArray[np.int64], names: npt.NDArray[np.str_], rate_known: bool
) -> dict[str, Any]:
    at, before = int(iteration[step.record]), int(iteration[max(step.record - 5, 0)])
    after = int(iteration[min(step.record + 5, len(iteration) - 1)])
    together = len(step.layers) >= max(_SHARED * len(names), 2)
    cause = "lr-change" if together and step.lasts and not rate_known else "unknown"
    times = np.sort(1 / step.factors if step.falls else step.factors)
    size = f"{times[0]:.2g}" if len(times) == 1 else f"{times[0]:.2g}–{times[-1]:.2g}"
    verb = "smaller" if step.falls else "larger"
    whose = f"of {len(step.layers)} of {len(names)} layers" if len(step.layers) > 1 else f"of {names[step.layers[0]]}"
    expression = f"run.layers.update_ratio2.sel(iteration=slice({before}, {after}))"
    evidence = [(f"updates {whose} were {size} times {verb} at {at} than at the record before", True)]
    evidence.append(("they stayed so", True) if step.lasts else ("they were as before soon after", False))
    if rate_known:
        evidence.append(("beyond what the learning rate explains", True))
    elif cause == "lr-change":
        evidence.append(("no learning rate was recorded that would show it", False))
    evidence.append((f"{len(iteration)} records are too few to tell how often such a step comes by chance", False))
    return {
        "rank": 0,
        "kind": "anomaly",
        "cause": cause,
        "iteration": at,
        "known_at": int(iteration[min(step.record + 1, len(iteration) - 1)]),
        "end": at,
        "layers": [str(names[layer]) for layer in step.layers],
        "filters": [],
        "classes": [],
        "images": [],
        "false_per_1000": None,
        "evidence": [{"text": text, "expression": expression, "for": speaks} for text, speaks in evidence],
    }


__all__ = ["LEAST_HEIGHT", "Step", "few_events", "steps"]
