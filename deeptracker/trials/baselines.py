"""What else one would watch: heights of simple rules along a training, to be compared at the same false alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deeptracker.trials.settings import VALIDATE_EVERY

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]

PAST = 50  # records that a robust z looks back on; passes are a tenth of them
_SLACK = 0.5  # of the CUSUM, in deviations
_USUAL_RATIO = -3.0  # decimal logarithm of |Δw| / |w| that a rule of thumb calls right


@dataclass(frozen=True, slots=True)
class Heights:
    """How unusual each step was to a rule, and the layer or class that was most so ("" where it names none).

    Alarms are stretches above a level, joined over one validation interval; each begins at its first step.
    """

    steps: npt.NDArray[np.int64]
    heights: Array
    places: npt.NDArray[np.str_]

    def alarms(self, level: float, first: int) -> list[tuple[int, str, float]]:
        """From step ``first`` on: the first step, the place and the height of each alarm, highest first."""
        at = np.flatnonzero((np.nan_to_num(self.heights, nan=-np.inf) >= level) & (self.steps >= first))
        if not len(at):
            return []
        groups = np.split(at, np.flatnonzero(np.diff(self.steps[at]) > VALIDATE_EVERY) + 1)
        out = []
        for group in groups:
            top = group[int(self.heights[group].argmax())]
            out.append((int(self.steps[group[0]]), str(self.places[top]), float(self.heights[top])))
        return sorted(out, key=lambda alarm: -alarm[2])


def baselines(run: Run) -> dict[str, Heights]:
    """Rule → its heights along an analysed run."""
    scalars, layers = run.dataset("scalars"), run.dataset("layers/dense")
    steps, names = scalars["iteration"].values, layers["layer"].values.astype(str)
    wide = np.stack([_log(scalars[name].values) for name in ("loss", "grad_norm")], 1)
    z = _robust_z(wide, PAST)
    per_layer = np.concatenate([_robust_z(_log(layers[n].values), PAST) for n in ("update_ratio2", "grad_ratio2")], 1)
    ratio = np.abs(_log(layers["update_ratio2"].values) / (2 * np.log(10)) - _USUAL_RATIO)
    passes, classes, accuracy, original = _answers(run)
    return {
        "Hampel, loss and gradient": _highest(steps, np.abs(z), None),
        "CUSUM, loss and gradient": _highest(steps, _cusum(z), None),
        "robust z a layer": _highest(layers["iteration"].values, np.abs(per_layer), np.tile(names, 2)),
        "update-ratio rule": _highest(layers["iteration"].values, ratio, names),
        "robust z of a class's accuracy": _highest(passes, np.abs(_robust_z(accuracy, PAST // 10)), classes),
        "DeepTracker 2018": _highest(passes, original, classes),
    }


def _answers(run: Run) -> tuple[Any, Any, Array, Array]:
    """Passes, classes, accuracies, and the original's rule: flips in shares of its thresholds, (passes, classes).

    Liu et al. mark a class where 5 of 50 images change after 31 alike passes, or 30 of 50 from one to the next.
    """
    view = run.validation_sets[0]
    table = run.dataset(f"index/validation/{view}/classes")
    sides = run.dataset(f"anomalies/validation/{view}/classes")
    images = table["images"].values.astype(np.float64)
    flips = [sides[side].values.sum(-1) / images[None, :, None] for side in ("left", "right")]
    longest = min(31, flips[0].shape[2])
    original = np.maximum.reduce([side[:, :, longest - 1] / 0.1 for side in flips] + [flips[0][:, :, 0] / 0.6])
    return table["validation"].values, table["class"].values.astype(str), table["accuracy"].values, original


def _log(values: Any) -> Array:
    values = values.astype(np.float64)
    return np.log(values, out=np.full_like(values, np.nan), where=values > 0)


def _robust_z(series: Array, past: int) -> Array:
    """(rows, things): distance from the median of the ``past`` rows before, in their robust deviations."""
    out = np.full_like(series, np.nan)
    if len(series) <= past:
        return out
    before = np.lib.stride_tricks.sliding_window_view(series, past, axis=0)[:-1]
    with np.errstate(all="ignore"):
        middle = np.nanmedian(before, axis=-1)
        deviation = 1.4826 * np.nanmedian(np.abs(before - middle[..., None]), axis=-1)
        out[past:] = (series[past:] - middle) / np.maximum(deviation, 1e-9)
    return out


def _cusum(z: Array) -> Array:
    """Two-sided cumulative sums of z beyond the slack (Page 1954); missing values add nothing."""
    up, down = np.zeros(z.shape[1]), np.zeros(z.shape[1])
    out = np.empty_like(z)
    for row, values in enumerate(np.nan_to_num(np.clip(z, -20, 20))):
        up, down = np.maximum(up + values - _SLACK, 0), np.maximum(down - values - _SLACK, 0)
        out[row] = np.maximum(up, down)
    return out


def _highest(steps: Any, heights: Array, names: Any) -> Heights:
    """The highest thing of each row, and its name."""
    known = np.nan_to_num(heights, nan=-np.inf)
    at = known.argmax(1)
    places = np.full(len(at), "") if names is None else names[at]
    return Heights(steps.astype(np.int64), known.max(1), places.astype(str))


__all__ = ["PAST", "Heights", "baselines"]
