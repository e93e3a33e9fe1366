"""Validation answers as numbers to draw: which set, its classes, errors over time, rows grouped by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CELLS = 200_000_000
ORDER_FROM = 21


@dataclass(frozen=True, slots=True)
class Classes:
    """Images of a validation set by class.

    ``names`` of the classes, ``order`` in which they are drawn, ``target`` of each image, ``rows`` = positions of the
    images on the image axis in drawing order (by class, then by how often they were answered rightly).
    """

    names: tuple[str, ...]
    order: NDArray[np.intp]
    target: NDArray[np.int32]
    rows: NDArray[np.intp]

    def members(self, index: int) -> NDArray[np.intp]:
        """Images of one class, in drawing order."""
        return self.rows[self.target[self.rows] == index]


def first_set(run: Any) -> str | None:
    """``<set>/<weights>`` of the first validation set, None where nothing was validated."""
    return run.validation_sets[0] if run.validation_sets else None


def class_names(run: Any, view: str, count: int) -> tuple[str, ...]:
    """Names of the classes as the index, or the images, give them; else their numbers."""
    index = f"index/validation/{view}/classes"
    if run.has(index):
        return tuple(str(name) for name in run.dataset(index)["class"].values)
    images = f"images/{view.split('/')[0]}"
    if run.has(images) and "class" in run.dataset(images).coords:
        return tuple(str(name) for name in run.dataset(images)["class"].values)
    return tuple(str(i) for i in range(count))


def classes_of(run: Any, view: str) -> Classes:
    """The classes of a validation set and the order in which they and their images are drawn.

    Classes keep their own order up to 20; more are ordered by similarity (the index's ``order``). Images without a
    class form one class "images".
    """
    answers = run.dataset(f"validation/{view}")
    images = f"images/{view.split('/')[0]}"
    amount = answers.sizes["image"]
    target = np.zeros(amount, np.int32)
    names: tuple[str, ...] = ("images",)
    if run.has(images) and run.dataset(images).sizes["image"] == amount:
        given = np.asarray(run.dataset(images)["target"].values, dtype=np.int32)
        if given.size and given.max() >= 0:
            target = given
            names = class_names(run, view, int(given.max()) + 1)
    order = np.arange(len(names))
    index = f"index/validation/{view}/classes"
    if len(names) >= ORDER_FROM and run.has(index):
        order = np.argsort(run.dataset(index)["order"].values, kind="stable")
    place = np.empty(len(names), np.intp)
    place[order] = np.arange(len(names))
    inner = np.zeros(amount)
    group = f"index/validation/{view}/images"
    if run.has(group) and run.dataset(group).sizes["image"] == amount:
        inner = np.asarray(run.dataset(group)["order"].values)
    seat = np.where(target >= 0, place[np.clip(target, 0, len(names) - 1)], len(names))
    rows = np.lexsort((inner, seat))
    return Classes(names, order, target, rows[target[rows] >= 0])


def error_over_time(run: Any, view: str | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """(iterations of the passes, share of wrong answers); None where nothing was validated."""
    view = view or first_set(run)
    if view is None:
        return None
    index = f"index/validation/{view}/all"
    if run.has(index):
        whole = run.dataset(index)
        return np.asarray(whole["validation"].values), 1 - np.asarray(whole["accuracy"].values, dtype=np.float64)
    answers = run.dataset(f"validation/{view}")
    if answers.sizes["validation"] * answers.sizes["image"] > MOST_CELLS:
        return None
    return np.asarray(answers["validation"].values), _wrong(np.asarray(answers["correct"].values))


def _wrong(correct: NDArray[Any]) -> NDArray[np.float64]:
    """Share of wrong answers among those evaluated (last axis), NaN where none was."""
    known = (correct >= 0).sum(axis=-1)
    return np.divide(
        (correct == 0).sum(axis=-1), known, out=np.full(correct.shape[:-1], np.nan), where=np.asarray(known > 0)
    )


def error_by_class(run: Any, view: str, classes: Classes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(iterations of the passes, share of wrong answers (validation, class)), from the index where there is one."""
    index = f"index/validation/{view}/classes"
    if run.has(index):
        table = run.dataset(index)
        return np.asarray(table["validation"].values), 1 - np.asarray(table["accuracy"].values, dtype=np.float64)
    answers = run.dataset(f"validation/{view}")
    correct = np.asarray(answers["correct"].values)
    share = np.stack([_wrong(correct[:, classes.members(c)]) for c in range(len(classes.names))], axis=1)
    return np.asarray(answers["validation"].values), share
