"""The index of validation: answers per class, cluster and over all images; the history of images. Labelled tier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from deeptracker.aggregate.answers import (
    NEVER,
    Parts,
    carry,
    image_history,
    image_parts,
    last_answers,
    merge_image_parts,
    window_counts,
)
from deeptracker.aggregate.batch import Batch, Later
from deeptracker.aggregate.classes import arrange
from deeptracker.aggregate.grown import Earlier
from deeptracker.aggregate.passes import Sums, accuracy, all_table, class_tables
from deeptracker.aggregate.windows import Readable, Source, windows
from deeptracker.conform import build

T = TypeVar("T")

_AHEAD = 16  # windows that are done before the history of images waits for them
_CARRIED = ("last", "evaluated", "right", "moments")


@dataclass(frozen=True, slots=True)
class _Classes:
    """The table of classes of an earlier index, up to pass number ``passes``."""

    run: Readable
    path: str
    passes: int

    def dataset(self) -> xr.Dataset:
        return self.run.dataset(self.path).isel(validation=slice(0, self.passes))


def _last(source: Source, start: int, stop: int) -> npt.NDArray[np.int8]:
    return last_answers(source.read("correct", start, stop))


def _window(source: Source, start: int, stop: int, before: Any, target: Any, classes: int) -> tuple[Sums, Parts]:
    correct, loss = source.read("correct", start, stop), source.read("loss", start, stop)
    counts = window_counts(correct, loss, before, target, classes)
    # They wait until all windows are done: whole numbers in half the room.
    exact = {name: values if name == "loss" else values.astype(np.int32) for name, values in counts.items()}
    return exact, image_parts(correct, loss, before, start)


def _counted(window: tuple[Sums, Parts]) -> Sums:
    return window[0]


def _accuracies(window: tuple[Sums, Parts]) -> npt.NDArray[np.float32]:
    """Of the classes, as the table will have them: the same, whether passes came at once or in parts."""
    return accuracy({name: values[:, :-1] for name, values in window[0].items()})


def _arranged(before: _Classes | None, *accuracies: npt.NDArray[np.float32]) -> Any:
    known = [] if before is None else [before.dataset()["accuracy"].values]
    return arrange(np.concatenate([*known, *accuracies]))


def _once(state: npt.NDArray[np.int8], history: Parts) -> npt.NDArray[np.int8]:
    """The state, once there is this history."""
    return state


def _with(history: Parts, window: tuple[Sums, Parts]) -> Parts:
    """The history of each image with a further window."""
    return merge_image_parts(history, window[1])


def targets(run: Readable, view: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
    """Class of each image of ``<set>/<weights>``, and the names of the classes (empty: the images have none).

    Images that the set does not describe count as without class (−1).
    """
    images = f"images/{view.split('/')[0]}"
    ids = run.dataset(f"validation/{view}")["image"].values
    if not run.has(images):
        return np.full(len(ids), -1, np.int32), np.empty(0, object)
    table = run.dataset(images)
    target = table["target"].values.astype(np.int32)
    if len(target) != len(ids) or not np.array_equal(table["image"].values, ids):
        known = dict(zip(table["image"].values.tolist(), target.tolist(), strict=True))
        target = np.array([known.get(one, -1) for one in ids.tolist()], np.int32)
    most = int(target.max(initial=-1)) + 1
    names = table["class"].values.astype(object) if "class" in table.coords else np.empty(0, object)
    if len(names) < most:
        names = np.array([str(number) for number in range(most)], object)
    return target, names


def index_view(batch: Batch, run: Readable, view: str, before: Earlier | None = None) -> Later[dict[str, xr.Dataset]]:
    """Tables of one ``<set>/<weights>``.

    Parameters
    ----------
    before : an earlier index of the run; what it has for good (``before.after(group)`` rows) is left out.

    Returns
    -------
    In ``batch``: ``index/validation/<view>/`` + ``all``, ``images`` and ``carry``, and ``classes``,
    ``classes_<size>`` (of many passes) and ``clusters`` where images have classes. NumPy-backed: they grow with
    classes × passes, not with images × passes.

    Notes
    -----
    An answer counts as evaluated where ``correct`` ≥ 0, since a set need not have one class an image. Each window
    needs the last answers before it: a first, light round of tasks reads ``correct`` alone and hands them on.
    """
    source = Source(run, f"validation/{view}")
    recorded = source.dataset
    passes = recorded["validation"].values.astype(np.int64)
    if not len(passes):
        return batch.add([], lambda _: {})
    target, names = targets(run, view)
    path = f"index/validation/{view}"
    first, history, earlier_classes = 0, _nothing(len(target)), None
    if before is not None and (first := before.rows.get(f"validation/{view}", 0)):
        history = _so_far(before, path)
        if len(names):
            earlier_classes = _Classes(before.run, f"{path}/classes", first)
    images = {"image": recorded["image"].values}

    def tables(sums: Sums, whole: Parts, arranged: Any) -> dict[str, xr.Dataset]:
        out = {
            f"{path}/all": all_table(path, passes[first:], sums, first),
            f"{path}/images": build(f"{path}/images", image_history(whole, target), images),
            f"{path}/carry": build(f"{path}/carry", {name: whole[name] for name in _CARRIED}, images),
        }
        if len(names):
            after = before.after if before is not None else lambda _: 0
            known = None if earlier_classes is None else earlier_classes.dataset().load()
            out |= class_tables(path, passes, sums, target, names, arranged, known, after)
        return out

    spans = view_windows(run, view, before)
    return _count(batch, source, spans, history, target, len(names), earlier_classes, tables)


def view_windows(run: Readable, view: str, before: Earlier | None = None) -> list[tuple[int, int]]:
    """Ranges of passes of ``<set>/<weights>`` that are new since ``before``."""
    first = before.rows.get(f"validation/{view}", 0) if before is not None else 0
    return windows(Source(run, f"validation/{view}"), "validation", first=first, most_bytes=4 << 20)


def _nothing(images: int) -> Parts:
    """History of images before the first pass."""
    none = np.empty((0, images), np.int8)
    return image_parts(none, none.astype(np.float16), last_answers(none), 0)


def _so_far(before: Earlier, path: str) -> Parts:
    """History of each image in the passes that were counted."""
    carried, images = (before.run.dataset(f"{path}/{table}").load() for table in ("carry", "images"))
    learned = images["first_learned"].values
    return {
        **{name: carried[name].values for name in _CARRIED},
        "forgotten": images["forgetting_events"].values,
        "first": np.where(learned < 0, NEVER, learned),
    }


def _count(
    batch: Batch,
    source: Source,
    spans: list[tuple[int, int]],
    history: Parts,
    target: Any,
    classes: int,
    before: _Classes | None,
    then: Callable[[Sums, Parts, Any], T],
) -> Later[T]:
    """What is made of the sums of the passes in the windows, of the history of each image with them, and of what
    classes are arranged by: their accuracies, those ``before`` among them.
    """
    state: Any = history["last"]
    none = np.empty((0, len(target)), np.int8)
    nothing = window_counts(none, none.astype(np.float16), state, target, classes)
    tasks, accuracies, shared, so_far = [], [], delayed(target), delayed(history, pure=False)
    earlier = so_far
    for number, span in enumerate(spans):
        if number and number % _AHEAD == 0:
            # Each history is let go of as soon as the next one is there, and windows as soon as they are in one: no
            # window begins long before, so that what is held does not grow with the passes.
            state, earlier = delayed(_once, pure=False)(state, earlier), so_far
        window = delayed(_window, pure=False)(source, *span, state, shared, classes)
        tasks.append(delayed(_counted, pure=False)(window))
        if classes:
            accuracies.append(delayed(_accuracies, pure=False)(window))
        so_far = delayed(_with, pure=False)(so_far, window)
        if span is not spans[-1]:
            state = delayed(carry, pure=False)(state, delayed(_last, pure=False)(source, *span))

    known = delayed(before, pure=False, traverse=False)
    arranged = delayed(_arranged, pure=False)(known, *accuracies) if classes else delayed(None)

    def joined(made: list[Any]) -> T:
        *counts, history, arranged = made
        sums = {name: np.concatenate([one[name] for one in counts or [nothing]]) for name in nothing}
        return then(sums, history, arranged)

    return batch.add([*tasks, so_far, arranged], joined)


__all__ = ["index_view", "targets", "view_windows"]
