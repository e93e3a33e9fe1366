"""All images of a validation set in few rows: what a picture of every answer shows."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deeptracker.screen.answers import BLOCK, MOST_ANSWERS, Classes, error_by_class, indexed
from deeptracker.screen.level import within
from deeptracker.screen.opened import coordinate, opened
from deeptracker.screen.picking import pick


def image_rows(
    run: Any, view: str, classes: Classes, rows: int, first: float | None = None, last: float | None = None
) -> xr.Dataset:
    """All images in at most about ``rows`` rows, each of images of one class only: share of wrong answers.

    Returns
    -------
    Dataset with ``wrong`` (validation, row), NaN where none was evaluated; along ``row`` ``class_index`` and
    ``images`` (how many the row stands for). Rows lie in drawing order: by class, then by how often an image was
    right. Of more than ``MOST_ANSWERS`` answers a row is a class, as the index has it: the attribute ``by`` says
    ``image`` or ``class``.
    """
    group = f"validation/{view}"
    passes = np.asarray(coordinate(run, group, "validation"), dtype=np.int64)
    start, stop = within(passes, passes[0] if first is None else first, passes[-1] if last is None else last)
    amounts = np.diff(classes.borders)
    if (stop - start) * len(classes.rows) > MOST_ANSWERS and indexed(run, f"{view}/classes"):
        at, share = error_by_class(run, view, classes)
        wrong, by = share[:, classes.order][:, amounts > 0].astype(np.float32), "class"
        counts, owner = amounts[amounts > 0], classes.order[amounts > 0]
    else:
        bins = rows_within(amounts.tolist(), rows)
        counts = np.concatenate(
            [np.diff(np.linspace(0, n, b + 1).astype(int)) for n, b in zip(amounts, bins, strict=True)]
        )
        owner = np.repeat(classes.order, bins)
        counts, owner = counts[counts > 0], owner[counts > 0]
        at, wrong, by = passes[start:stop], _shares(run, group, classes.rows, counts, start, stop), "image"
    return xr.Dataset(
        {"wrong": (("validation", "row"), wrong), "images": ("row", counts)},
        {"validation": at, "class_index": ("row", owner)},
        {"by": by},
    )


def _shares(
    run: Any, group: str, rows: NDArray[np.intp], counts: NDArray[np.int64], start: int, stop: int
) -> NDArray[np.float32]:
    """Share wrong of each stretch of ``counts`` images, a block of passes in memory at a time."""
    variable = opened(run, group)["correct"].variable
    row_of = np.full(variable.shape[1], -1, np.int32)
    row_of[rows] = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    out = np.empty((stop - start, len(counts)), np.float32)
    for first in range(start, stop, BLOCK):
        correct = pick(variable, {"validation": slice(first, min(first + BLOCK, stop))})
        share_wrong(np.ascontiguousarray(correct), row_of, out[first - start : first - start + BLOCK])
    return out


@numba.njit(nogil=True, cache=True)
def share_wrong(correct: Any, row_of: Any, out: Any) -> None:
    """Share of wrong answers of each row of images: ``correct`` (passes, images), −1 = not evaluated → ``out``
    (passes, rows); ``row_of`` says the row of each image, −1 = none.
    """
    wrong, known = np.empty(out.shape[1], np.int32), np.empty(out.shape[1], np.int32)
    for number in range(correct.shape[0]):
        wrong[:], known[:] = 0, 0
        for image in range(correct.shape[1]):
            answer, row = correct[number, image], row_of[image]
            if answer >= 0 and row >= 0:
                known[row] += 1
                wrong[row] += answer == 0
        for row in range(out.shape[1]):
            out[number, row] = np.float32(wrong[row] / known[row]) if known[row] else np.float32(np.nan)


def rows_within(sizes: list[int], rows: int) -> list[int]:
    """Pixel rows for each class: one an image where they fit, else in proportion, at least one for each class."""
    total = sum(sizes)
    if total <= rows * 4:
        return list(sizes)
    return [min(size, max(1, round(size * rows / total))) for size in sizes]


__all__ = ["image_rows", "rows_within", "share_wrong"]
