"""All images of a validation set in few rows: what a picture of every answer shows."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deeptracker.screen.answers import BLOCK, Classes, between, errors_of, indexed
from deeptracker.screen.opened import coordinate, opened
from deeptracker.screen.picking import pick
from deeptracker.screen.reading import PIXELS

MOST_ANSWERS = 20_000_000
"""Answers that one picture of all images reads; of more, the index's classes are shown."""


def image_rows(
    run: Any,
    view: str,
    classes: Classes,
    rows: int,
    first: float | None = None,
    last: float | None = None,
    *,
    pixels: int = PIXELS,
) -> xr.Dataset:
    """All images in at most about ``rows`` rows, each of images of one class only: share of wrong answers.

    Returns
    -------
    Dataset with ``wrong`` (validation, row), NaN where none was evaluated; along ``row`` ``class_index`` and
    ``images`` (how many the row stands for). Rows lie in drawing order: by class, then by how often an image was
    right.

    Where there is room for a row a class at most, and of more than ``MOST_ANSWERS`` answers, a row is a class, as the
    index has it: the attribute ``by`` says ``image`` or ``class``. Of more than four passes a pixel, classes are the
    mean over the passes of each bin: the attribute ``size`` says how many passes.
    """
    group = f"validation/{view}"
    passes = np.asarray(coordinate(run, group, "validation"), dtype=np.int64)
    start, stop = between(passes, first, last)
    amounts = np.diff(classes.borders)
    bins = rows_within(amounts.tolist(), rows)
    few = max(bins, default=0) > 1 and (stop - start) * len(classes.rows) <= MOST_ANSWERS
    if not few and indexed(run, f"{view}/classes"):
        at, share, size = errors_of(run, view, "classes", classes.each, first, last, pixels=pixels, keep="mean")
        counts, owner = amounts[amounts > 0], classes.order[amounts > 0]
        wrong, by = np.take(share, owner, axis=1), "class"
    else:
        counts = np.concatenate(
            [np.diff(np.linspace(0, n, b + 1).astype(int)) for n, b in zip(amounts, bins, strict=True)]
        )
        owner = np.repeat(classes.order, bins)
        counts, owner = counts[counts > 0], owner[counts > 0]
        at, size, by = passes[start:stop], 1, "image"
        wrong = _shares(opened(run, group)["correct"].variable, classes.rows, counts, start, stop)
    return xr.Dataset(
        {"wrong": (("validation", "row"), wrong), "images": ("row", counts)},
        {"validation": at, "class_index": ("row", owner)},
        {"by": by, "size": size},
    )


def _shares(
    variable: xr.Variable, rows: NDArray[np.intp], counts: NDArray[np.int64], start: int, stop: int
) -> NDArray[np.float32]:
    """Share wrong of each stretch of ``counts`` images: blocks of passes, two at a time in memory."""
    seats, borders = rows.astype(np.int32), np.concatenate([[0], np.cumsum(counts)])
    out = np.empty((stop - start, len(counts)), np.float32)

    def count(block: int) -> None:
        part = slice(max(block, start), min(block + BLOCK, stop))
        correct = np.ascontiguousarray(pick(variable, {"validation": part}))
        share_wrong(correct, seats, borders, out[part.start - start : part.stop - start])

    with ThreadPoolExecutor(2) as pool:
        # Whole blocks from the first pass on, whatever is asked for: then no file is read twice.
        deque(pool.map(count, range(start // BLOCK * BLOCK, stop, BLOCK)), maxlen=0)
    return out


@numba.njit(nogil=True, cache=True)
def share_wrong(correct: Any, seats: Any, borders: Any, out: Any) -> None:
    """Share of wrong answers of each row of images: ``correct`` (passes, images), −1 = not evaluated → ``out``
    (passes, rows); row i holds the images ``seats[borders[i]:borders[i + 1]]``.
    """
    for number in range(correct.shape[0]):
        for row in range(out.shape[1]):
            wrong, known = 0, 0
            for place in range(borders[row], borders[row + 1]):
                answer = correct[number, seats[place]]
                known += answer >= 0
                wrong += answer == 0
            out[number, row] = np.float32(wrong / known) if known else np.float32(np.nan)


def rows_within(sizes: list[int], rows: int) -> list[int]:
    """Pixel rows for each class: one an image where they fit, else in proportion, at least one for each class."""
    total = sum(sizes)
    if total <= rows * 4:
        return list(sizes)
    return [min(size, max(1, round(size * rows / total))) for size in sizes]


__all__ = ["MOST_ANSWERS", "image_rows", "rows_within", "share_wrong"]
