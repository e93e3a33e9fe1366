"""Everything that runs along validation passes: left and right counts, class scores, who flipped when."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dask
import numpy as np
import numpy.typing as npt

from deeptracker.detect.classes import (
    SETTLING,
    Counts,
    class_level,
    class_rate,
    class_scores,
    counts,
    long_run,
)
from deeptracker.detect.flips import runs, survival

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

LONGEST = 100
FALSE_PER_1000 = 0.1


@dataclass(slots=True)
class Answers:
    """Of one validation set: (passes, class, …) arrays, in the order of the classes' names."""

    view: str
    passes: Index
    classes: list[str]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    final: npt.NDArray[np.int8]
    score: Array
    level: float
    length: int
    counts: list[Counts]
    per_1000: float

    def false_per_1000(self, score: float) -> float:
        """False alarms expected per 1,000 iterations at this height of a class score."""
        return class_rate(score, len(self.classes), self.per_1000)

    def lost(self, run: Run, place: int, chosen: list[int], most: int) -> list[int | str]:
        """Ids of images that were right at the pass before ``place`` and wrong at it, of these classes (or all)."""
        correct = run.dataset(f"validation/{self.view}")["correct"][place - 1 : place + 1].values
        flipped = (correct[0] == 1) & (correct[1] == 0)
        images = run.dataset(f"images/{self.view.split('/')[0]}")
        if chosen:
            flipped &= np.isin(images["target"].values, chosen)
        return [value for value in images["image"].values[flipped][:most].tolist()]  # noqa: C416 - plain types


def _score_class(run: Run, view: str, chosen: slice, longest: int, length: int) -> tuple[object, object, Counts]:
    """One task: the answers of one class (its images lie together) over all passes."""
    correct = run.dataset(f"validation/{view}")["correct"].isel(image=chosen).values
    before, after = runs(correct)
    return (
        survival(before, correct, longest),
        survival(after, correct, longest),
        counts(correct, before, after, length),
    )


def score_answers(run: Run, view: str, rate_changes: Index) -> Answers:
    """Left and right rule and class scores of ``view`` = set/weights.

    ``rate_changes`` (iterations) are jumps of the learning rate: for ten passes after each, answers settle in all
    classes and get no score.
    """
    passes = run.dataset(f"validation/{view}")["validation"].values.astype(np.int64)
    images = run.dataset(f"images/{view.split('/')[0]}")
    target = images["target"].values
    classes = [str(name) for name in images["class"].values]
    longest, length = min(LONGEST, len(passes)), long_run(len(passes))
    borders = np.searchsorted(target, np.arange(len(classes) + 1))
    tasks = [
        dask.delayed(_score_class)(run, view, slice(int(a), int(b)), longest, length)
        for a, b in itertools.pairwise(borders)
    ]
    parts = dask.compute(*tasks)
    since = np.full(len(passes), SETTLING)
    for jump in rate_changes:
        after = np.flatnonzero(passes >= jump)
        since[after] = np.minimum(since[after], np.arange(len(after)))
    span = max(int(passes[-1] - passes[0]), 1)
    per_1000 = 1000 * (len(passes) - 1) / span
    scores = class_scores([part[2] for part in parts], since < SETTLING)
    final = np.arange(len(passes))[:, None] + np.arange(longest)[None] < len(passes)
    return Answers(
        view,
        passes,
        classes,
        np.stack([part[0] for part in parts], 1),
        np.stack([part[1] for part in parts], 1),
        final.astype(np.int8),
        scores,
        class_level(len(classes), per_1000, FALSE_PER_1000),
        length,
        [part[2] for part in parts],
        per_1000,
    )
