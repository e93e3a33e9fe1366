"""Validation answers for the screen: which set, its classes, errors over time, the images of a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deeptracker.screen.kept import Kept, state_of
from deeptracker.screen.level import outdated, within
from deeptracker.screen.opened import coordinate, opened, sizes
from deeptracker.screen.picking import pick
from deeptracker.screen.reading import PIXELS, read, table

MOST_COUNTED = 192_000_000
"""Answers that the error over time is counted from, where there is no index."""
BLOCK = 256
"""Passes that are counted at once."""
ORDER_FROM = 21

_known: Kept[Classes] = Kept(8)


@dataclass(frozen=True, slots=True)
class Classes:
    """Images of a validation set by class.

    ``names`` of the classes, ``order`` in which they are drawn, ``target`` of each image, ``rows`` = positions of the
    images on the image axis in drawing order (by class, then by how often they were answered rightly), ``borders`` =
    places in ``rows`` where each drawn class begins, and where the last one ends.
    """

    names: tuple[str, ...]
    order: NDArray[np.intp]
    target: NDArray[np.int32]
    rows: NDArray[np.intp]
    borders: NDArray[np.intp]

    def members(self, index: int) -> NDArray[np.intp]:
        """Images of one class, in drawing order."""
        place = int(np.flatnonzero(self.order == index)[0])
        return self.rows[self.borders[place] : self.borders[place + 1]]

    def each(self) -> list[NDArray[np.intp]]:
        """Images of every class, in the order of the classes' names."""
        return [self.members(index) for index in range(len(self.names))]


def first_set(run: Any) -> str | None:
    """``<set>/<weights>`` of the first validation set, None where nothing was validated."""
    return run.validation_sets[0] if run.validation_sets else None


def class_names(run: Any, view: str, count: int) -> tuple[str, ...]:
    """Names of the classes as the index, or the images, give them; else their numbers."""
    for group in (f"index/validation/{view}/classes", f"images/{view.split('/')[0]}"):
        if run.has(group) and "class" in opened(run, group).coords:
            return tuple(str(name) for name in coordinate(run, group, "class"))
    return tuple(str(i) for i in range(count))


def classes_of(run: Any, view: str) -> Classes:
    """The classes of a validation set and the order in which they and their images are drawn.

    Classes keep their own order up to 20; more are ordered by similarity (the index's ``order``). Images without a
    class form one class "images".
    """
    state = state_of(run)
    if state is None:
        return _classes_of(run, view)
    return _known.get((state, view), lambda: _classes_of(run, view), lambda _: 1)


def forget_classes() -> None:
    """Keep no classes: they are worked out anew."""
    _known.clear()


def _classes_of(run: Any, view: str) -> Classes:
    amount = sizes(run, f"validation/{view}")["image"]
    images = f"images/{view.split('/')[0]}"
    target = np.zeros(amount, np.int32)
    names: tuple[str, ...] = ("images",)
    if sizes(run, images).get("image") == amount:
        given = np.asarray(table(run, images, ["target"])["target"].values, dtype=np.int32)
        if given.size and given.max() >= 0:
            target = given
            names = class_names(run, view, int(given.max()) + 1)
    order = np.arange(len(names))
    index = f"index/validation/{view}/classes"
    if len(names) >= ORDER_FROM and run.has(index):
        order = np.argsort(table(run, index, ["order"])["order"].values, kind="stable")
    place = np.empty(len(names), np.intp)
    place[order] = np.arange(len(names))
    inner = np.zeros(amount)
    group = f"index/validation/{view}/images"
    if sizes(run, group).get("image") == amount:
        inner = np.asarray(table(run, group, ["order"])["order"].values)
    seat = np.where(target >= 0, place[np.clip(target, 0, len(names) - 1)], len(names))
    rows = np.lexsort((inner, seat))
    rows = rows[target[rows] >= 0]
    borders = np.searchsorted(seat[rows], np.arange(len(names) + 1))
    return Classes(names, order, target, rows, borders)


def error_over_time(
    run: Any, view: str | None = None, *, pixels: int = PIXELS
) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """(iterations of the passes, share of wrong answers); None where nothing was validated, or too much to count."""
    view = view or first_set(run)
    if view is None:
        return None
    size = sizes(run, f"validation/{view}")
    if not indexed(run, f"{view}/all") and size["validation"] * size["image"] > MOST_COUNTED:
        return None
    errors = errors_of(run, view, "all", lambda: [np.arange(size["image"])], pixels=pixels)
    return errors.passes, errors.share[:, 0]


def error_by_class(
    run: Any, view: str, classes: Classes, *, pixels: int = PIXELS
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(iterations of the passes, share of wrong answers (validation, class)), from the index as far as it goes.

    A class without an evaluated image is NaN. With more than four passes a pixel, and bins of passes in the index,
    (first pass of each bin, the worst share in it).
    """
    errors = errors_of(run, view, "classes", classes.each, pixels=pixels)
    return errors.passes, errors.share


class Errors(NamedTuple):
    """Share of wrong answers (pass, set of images); ``size`` passes a bin where bins of the index were read."""

    passes: NDArray[np.int64]
    share: NDArray[np.float32]
    size: int


def indexed(run: Any, part: str) -> bool:
    """Whether the index has a table of answers that still holds."""
    return bool(run.has(f"index/validation/{part}")) and not outdated(run)


def errors_of(
    run: Any,
    view: str,
    part: str,
    members: Callable[[], list[NDArray[np.intp]]],
    first: float | None = None,
    last: float | None = None,
    *,
    pixels: int,
    keep: str = "min",
) -> Errors:
    """Errors of each set of images, from the index, and counted of the passes that came after it.

    ``keep`` says what becomes of the share of right answers in bins of passes.
    """
    group, index = f"validation/{view}", f"index/validation/{view}/{part}"
    passes = coordinate(run, group, "validation")
    start, stop = between(passes, first, last)
    at: list[NDArray[np.int64]] = []
    begun: list[NDArray[np.float32]] = []
    known, size = start, 1
    if indexed(run, f"{view}/{part}"):
        known = max(start, min(stop, sizes(run, index)["validation"]))
    if known > start:
        data = read(run, index, ["accuracy"], passes[start], passes[known - 1], pixels, reductions=[keep])
        right = np.asarray(data["accuracy"].values[0], dtype=np.float32)
        begun.append(1 - right.reshape(len(right), -1))
        at.append(np.asarray(data["validation"].values))
        size = data.attrs["size"]
    if known < stop or not begun:
        sets = members()
        begun.append(np.zeros((0, len(sets)), np.float32))
        for one in range(known, stop, BLOCK):
            block = slice(one, min(one + BLOCK, stop))
            correct = pick(opened(run, group)["correct"].variable, {"validation": block})
            begun.append(np.stack([_wrong(correct[:, rows]) for rows in sets], axis=1).astype(np.float32))
            at.append(passes[block])
    share = begun[0] if len(begun) == 1 else np.concatenate(begun)  # megabytes are not copied for nothing
    return Errors(np.concatenate(at) if at else passes[:0], share, size)


def between(passes: NDArray[np.int64], first: float | None, last: float | None) -> tuple[int, int]:
    """Numbers of the passes between two iterations, both included; None: from the first one, to the last one."""
    if not len(passes):
        return 0, 0
    return within(passes, passes[0] if first is None else first, passes[-1] if last is None else last)


def _wrong(correct: NDArray[Any]) -> NDArray[np.float64]:
    """Share of wrong answers among those evaluated (last axis), NaN where none was."""
    known = (correct >= 0).sum(axis=-1)
    return np.divide(
        (correct == 0).sum(axis=-1), known, out=np.full(correct.shape[:-1], np.nan), where=np.asarray(known > 0)
    )


def images_of(
    run: Any, view: str, rows: NDArray[np.intp], first: float | None = None, last: float | None = None
) -> xr.Dataset:
    """Answers of some images, in the order of ``rows`` (positions on the image axis): (validation, image), loaded.

    ``predicted`` (−1 = not evaluated), ``correct`` (−1, 0, 1); coordinates ``validation`` and ``image``. The chunks
    of those images alone are read: images of a class lie side by side.
    """
    every: Any = {"pixels": 1 << 40, "cells": 1 << 40}  # an answer is no number of which there could be a mean
    data = read(run, f"validation/{view}", ["predicted", "correct"], first, last, select={"image": rows}, **every)
    return data.isel(reduction=0, drop=True)


__all__ = [
    "Classes",
    "Errors",
    "between",
    "class_names",
    "classes_of",
    "error_by_class",
    "error_over_time",
    "errors_of",
    "first_set",
    "forget_classes",
    "images_of",
    "indexed",
]
