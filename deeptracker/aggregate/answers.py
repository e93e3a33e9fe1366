"""What happened to answers: counts per class and pass, and the history of each image. Array tier.

An answer is 1 (right), 0 (wrong) or −1 (not evaluated). A pass that did not evaluate an image neither breaks nor
extends its run of answers: events compare with the last answer that there was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deeptracker.aggregate.reductions import merge_moments

Answers = npt.NDArray[np.int8]
Array = npt.NDArray[np.float64]
Parts = dict[str, npt.NDArray[Any]]

NEVER = np.iinfo(np.int32).max
"""First right answer of an image that has had none."""


def last_answers(correct: Answers) -> Answers:
    """Last answer of each image in a window, −1 = none; ``correct`` is (passes, images)."""
    if not len(correct):
        return np.full(correct.shape[1], -1, np.int8)
    known = correct >= 0
    place = len(correct) - 1 - np.argmax(known[::-1], axis=0)
    last = correct[place, np.arange(correct.shape[1])]
    return np.where(known.any(axis=0), last, np.int8(-1))


def carry(before: Answers, window: Answers) -> Answers:
    """Last answers after a window, from those before it and those in it."""
    return np.where(window >= 0, window, before)


def previous_answers(correct: Answers, before: Answers) -> Answers:
    """For each pass and image the last answer of an earlier pass, −1 = none yet."""
    out = np.empty_like(correct)
    state = before
    for number, answers in enumerate(correct):
        out[number] = state
        state = carry(state, answers)
    return out


def class_sums(values: npt.NDArray[np.generic], target: npt.NDArray[np.integer], classes: int) -> Array:
    """Sum of (passes, images) over the images of each class, (passes, classes) float64; target −1 counts nowhere."""
    order = np.argsort(target, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        values, target = values[:, order], target[order]
    starts = np.searchsorted(target, np.arange(classes))
    stops = np.searchsorted(target, np.arange(classes), side="right")
    out = np.zeros((len(values), classes))
    there = stops > starts
    if there.any():
        # A last column of zeros, so that what follows the last class (or a gap) is not summed into it.
        bounds = np.stack([starts[there], stops[there]], axis=1).ravel()
        padded = np.concatenate([values, np.zeros((len(values), 1), values.dtype)], axis=1)
        out[:, there] = np.add.reduceat(padded, bounds, axis=1, dtype=np.float64)[:, ::2]
    return out


def window_counts(
    correct: Answers, loss: npt.NDArray[np.floating], before: Answers, target: npt.NDArray[np.integer], classes: int
) -> dict[str, Array]:
    """Sums of one window of passes, per class and over all images.

    Parameters
    ----------
    correct, loss : (passes, images); NaN losses are skipped. before : (images,) last answers before the window.

    Returns
    -------
    ``evaluated``, ``right``, ``losses`` (how many), ``loss`` (their sum) and ``events`` (last axis: n→y, y→n, y→y,
    n→n), each (passes, classes + 1[, 4]); the last column is all images, with a class or without.
    """
    previous = previous_answers(correct, before)
    seen = ~np.isnan(loss) & (correct >= 0)
    kinds = [(previous == a) & (correct == b) for a, b in ((0, 1), (1, 0), (1, 1), (0, 0))]

    def sums(values: npt.NDArray[np.generic]) -> Array:
        everything = np.add.reduce(values, axis=1, dtype=np.float64)[:, None]
        return np.concatenate([class_sums(values, target, classes), everything], axis=1)

    return {
        "evaluated": sums(correct >= 0),
        "right": sums(correct == 1),
        "losses": sums(seen),
        "loss": sums(np.where(seen, loss, 0).astype(np.float64)),
        "events": np.stack([sums(kind) for kind in kinds], axis=-1),
    }


def image_parts(correct: Answers, loss: npt.NDArray[np.floating], before: Answers, first: int) -> Parts:
    """What is kept of a window to tell the history of each image; ``first`` is the number of its first pass."""
    previous = previous_answers(correct, before)
    right = correct == 1
    confidence = np.where(correct >= 0, np.exp(-loss.astype(np.float64)), np.nan)
    known = ~np.isnan(confidence)
    count = known.sum(axis=0).astype(np.float64)
    total = np.where(known, confidence, 0).sum(axis=0)
    mean = np.divide(total, count, out=np.zeros_like(count), where=count > 0)
    square = (np.where(known, confidence - mean, 0) ** 2).sum(axis=0)
    return {
        "last": last_answers(correct),
        "evaluated": (correct >= 0).sum(axis=0, dtype=np.int32),
        "right": right.sum(axis=0, dtype=np.int32),
        "forgotten": ((previous == 1) & (correct == 0)).sum(axis=0, dtype=np.int32),
        "first": np.where(right.any(axis=0), first + _first(right), NEVER).astype(np.int32),
        "moments": np.stack([count, mean, square], axis=-1),
    }


def _first(right: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    return np.argmax(right, axis=0) if len(right) else np.zeros(right.shape[1], np.intp)


def merge_image_parts(one: Parts, other: Parts) -> Parts:
    """Histories of two windows, one after the other, as one."""
    return {
        "last": carry(one["last"], other["last"]),
        **{name: one[name] + other[name] for name in ("evaluated", "right", "forgotten")},
        "first": np.minimum(one["first"], other["first"]),
        "moments": merge_moments(one["moments"], other["moments"]),
    }


def image_history(parts: Parts, target: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[np.generic]]:
    """Variables of ``index/validation/…/images``, each (images,).

    NaN where an image was never evaluated. ``order`` is the place inside the class (images without class: among one
    another), most often right first, then by mean confidence.
    """
    moments, first = parts["moments"].astype(np.float64), parts["first"].astype(np.int64)
    evaluated, right = parts["evaluated"].astype(np.float64), parts["right"].astype(np.float64)
    count = moments[:, 0]
    empty = np.full(len(first), np.nan)
    mean = np.where(count > 0, moments[:, 1], np.nan)
    correctness = np.divide(right, evaluated, out=empty.copy(), where=evaluated > 0)
    ranked = np.lexsort((-np.nan_to_num(mean, nan=-1), -np.nan_to_num(correctness, nan=-1), target))
    sizes = np.unique(target, return_counts=True)[1]
    order = np.empty(len(target), np.int32)
    order[ranked] = np.concatenate([np.arange(size) for size in sizes]) if len(sizes) else []
    forgotten = parts["forgotten"].astype(np.int32)
    return {
        "forgetting_events": forgotten,
        "first_learned": np.where(first == NEVER, -1, first).astype(np.int32),
        "unforgettable": ((first != NEVER) & (forgotten == 0)).astype(np.int8),
        "confidence_mean": mean,
        "confidence_std": np.sqrt(np.divide(moments[:, 2], count, out=empty, where=count > 0)),
        "correctness": correctness,
        "order": order,
    }


__all__ = [
    "carry",
    "class_sums",
    "image_history",
    "image_parts",
    "last_answers",
    "merge_image_parts",
    "previous_answers",
    "window_counts",
]
