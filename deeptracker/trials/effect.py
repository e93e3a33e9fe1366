"""From when on, and by how much, a planted fault changed its training: against twins that differ in their order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]

AROUND = 10  # records on both sides over which the twins' largest deviation is taken
_LOGARITHMS = ("update_ratio2", "grad_ratio2", "w_rms", "bn_running_var")
_LINEAR = ("bn_gamma", "bn_beta", "bn_running_mean")
_TINY, _LEAST = 1e-12, 1e-3


@dataclass(frozen=True, slots=True)
class Measured:
    """What is compared of a training, from some step on.

    Parameters
    ----------
    iteration, validation : (records,) and (passes,) steps.
    records : (records, quantities): loss, gradient norm, and statistics of layers and filters, as logarithms where
        they are positive by nature.
    passes : (passes, classes) accuracies.
    """

    iteration: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    records: Array
    passes: Array


@dataclass(frozen=True, slots=True)
class Effect:
    """``onset``: the first step at which the training left what its twins span, None: it never did (masked);
    ``size``: how far, at most, in that span; ``seen``: "records", or "passes" where only the answers show it.
    """

    onset: int | None
    size: float
    seen: str

    @property
    def severity(self) -> str:
        """``masked``, ``1–3``, ``3–10`` or ``> 10``."""
        if self.onset is None:
            return "masked"
        return "1–3" if self.size < 3 else "3–10" if self.size <= 10 else "> 10"

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self) | {"severity": self.severity}


def measure(run: Run, first: int) -> Measured:
    """What a recorded training did from step ``first`` on."""
    scalars = run.dataset("scalars")
    kept = scalars["iteration"].values >= first
    columns = [np.log(np.maximum(scalars[name].values[kept], _TINY))[:, None] for name in ("loss", "grad_norm")]
    for group in ("layers/dense", "filters/dense"):
        dataset = run.dataset(group)
        there = dataset["iteration"].values >= first
        for name in (*_LOGARITHMS, *_LINEAR):
            if name in dataset:
                values = dataset[name].values[there].astype(np.float64)
                columns.append(np.log(np.maximum(values, _TINY)) if name in _LOGARITHMS else values)
    answers = run.dataset(f"validation/{run.validation_sets[0]}")
    after = answers["validation"].values >= first
    target = run.dataset("images/validation")["target"].values
    right = answers["correct"].values[after] == 1
    accuracy = np.stack([right[:, target == label].mean(1) for label in np.unique(target)], axis=1)
    return Measured(
        scalars["iteration"].values[kept], answers["validation"].values[after], np.concatenate(columns, 1), accuracy
    )


def effect_of(faulty: Measured, twin: Measured, twins: Sequence[Measured]) -> Effect:
    """The effect of a fault.

    Parameters
    ----------
    twin : the training without the fault, in the same order: equal to it until the fault.
    twins : at least five clean trainings, each in another order.

    Notes
    -----
    Of each quantity, |faulty − twin| is compared with the largest deviation of any two twins within ``AROUND``
    records (one pass, for accuracies); a number that is missing on one side only counts as infinitely far. A class
    of n images has no accuracy finer than 1/n, so a deviation of accuracies is at least two images.
    """
    at_records = _excess(faulty.records, twin.records, [one.records for one in twins], AROUND, _LEAST)
    least = 0.02  # two of a hundred images
    at_passes = _excess(faulty.passes, twin.passes, [one.passes for one in twins], 1, least)
    onsets = {
        seen: int(steps[np.flatnonzero(height > 1)[0]])
        for seen, steps, height in (
            ("records", faulty.iteration, at_records), ("passes", faulty.validation, at_passes)
        )
        if (height > 1).any()
    }  # fmt: skip
    size = float(max(at_records.max(initial=0), at_passes.max(initial=0)))
    if not onsets:
        return Effect(None, size, "records")
    seen = min(onsets, key=lambda name: (onsets[name], name == "passes"))
    return Effect(onsets[seen], size, seen)


def _excess(faulty: Array, twin: Array, twins: Sequence[Array], around: int, least: float) -> Array:
    """(rows,) how far the row's farthest quantity is from its twin, in deviations of the twins from each other."""
    spread = np.full_like(twin, least)
    for one, other in itertools.combinations(twins, 2):
        spread = np.fmax(spread, np.abs(one - other))
    padded = np.pad(spread, ((around, around), (0, 0)), mode="edge")
    spread = np.lib.stride_tricks.sliding_window_view(padded, 2 * around + 1, axis=0).max(-1)
    with np.errstate(invalid="ignore"):
        height = np.abs(faulty - twin) / spread
    height[np.isfinite(faulty) != np.isfinite(twin)] = np.inf
    return np.nan_to_num(height, nan=0.0, posinf=np.inf).max(1)


__all__ = ["AROUND", "Effect", "Measured", "effect_of", "measure"]
