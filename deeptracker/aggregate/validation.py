"""The index of validation: answers per class, cluster and over all images; the history of images. Labelled tier."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from deeptracker.aggregate.answers import (
    carry,
    image_history,
    image_parts,
    last_answers,
    merge_image_parts,
    window_counts,
)
from deeptracker.aggregate.classes import class_order, clusters, standardised_error
from deeptracker.aggregate.windows import Progress, Readable, Source, compute, windows
from deeptracker.conform import build
from deeptracker.schema.derived import EVENTS

Array = npt.NDArray[np.float64]


def _last(source: Source, start: int, stop: int) -> npt.NDArray[np.int8]:
    return last_answers(source.read("correct", start, stop))


def _window(source: Source, start: int, stop: int, before: Any, target: Any, classes: int) -> dict[str, Any]:
    correct, loss = source.read("correct", start, stop), source.read("loss", start, stop)
    return {
        "counts": window_counts(correct, loss, before, target, classes),
        "images": image_parts(correct, loss, before, start),
    }


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


def index_view(run: Readable, view: str, *, progress: Progress | None = None) -> dict[str, xr.Dataset]:
    """Tables of one ``<set>/<weights>``.

    Returns
    -------
    ``index/validation/<view>/`` + ``all`` and ``images``, and ``classes`` and ``clusters`` where images have classes.
    NumPy-backed: they grow with classes × passes, not with images × passes.

    Notes
    -----
    An answer counts as evaluated where ``correct`` ≥ 0, since a set need not have one class an image. Each window
    needs the last answers before it: a first, light round of tasks reads ``correct`` alone and hands them on.
    """
    source = Source(run, f"validation/{view}")
    recorded = source.dataset
    passes = recorded["validation"].values.astype(np.int64)
    if not len(passes):
        return {}
    target, names = targets(run, view)
    spans = windows(source, "validation", most_bytes=4 << 20)
    state: Any = np.full(len(target), -1, np.int8)
    tasks, shared = [], delayed(target)
    for span in spans:
        tasks.append(delayed(_window, pure=False)(source, *span, state, shared, len(names)))
        if span is not spans[-1]:
            state = delayed(carry, pure=False)(state, delayed(_last, pure=False)(source, *span))
    results = compute(tasks, what=f"index {view}", progress=progress)
    sums = {name: np.concatenate([one["counts"][name] for one in results]) for name in results[0]["counts"]}
    history = results[0]["images"]
    for one in results[1:]:
        history = merge_image_parts(history, one["images"])
    return _tables(f"index/validation/{view}", passes, recorded["image"].values, target, names, sums, history)


def _tables(
    path: str, passes: Any, ids: Any, target: Any, names: Any, sums: dict[str, Array], history: Any
) -> dict[str, xr.Dataset]:
    out = {
        f"{path}/all": build(
            f"{path}/all",
            {name: values[:, 0] for name, values in _counts({k: v[:, -1:] for k, v in sums.items()}).items()},
            {"validation": passes, "event": list(EVENTS)},
        ),
        f"{path}/images": build(f"{path}/images", image_history(history, target), {"image": ids}),
    }
    if not len(names):
        return out
    per_class = {name: values[:, :-1] for name, values in sums.items()}
    counts = _counts(per_class)
    series = standardised_error(counts["accuracy"])
    cluster = clusters(series)
    size = np.bincount(target[target >= 0], minlength=len(names))
    out[f"{path}/classes"] = build(
        f"{path}/classes",
        {**counts, "images": size, "cluster": cluster, "order": class_order(series)},
        {"validation": passes, "class": names, "event": list(EVENTS)},
    )
    members = np.eye(int(cluster.max()) + 1)[cluster]
    merged = {name: np.tensordot(values, members, (1, 0)) for name, values in per_class.items()}
    merged["events"] = np.moveaxis(merged["events"], -1, 1)
    out[f"{path}/clusters"] = build(
        f"{path}/clusters",
        _counts(merged),
        {"validation": passes, "cluster": np.arange(members.shape[1]), "event": list(EVENTS)},
    )
    return out


def _counts(sums: dict[str, Array]) -> dict[str, npt.NDArray[Any]]:
    """Variables of a table from sums of (passes, groups); events of the first pass are −1: it has none before it."""
    empty = np.full(sums["right"].shape, np.nan)
    events = sums["events"].astype(np.int32)
    events[:1] = -1
    return {
        "evaluated": sums["evaluated"].astype(np.int32),
        "accuracy": np.divide(sums["right"], sums["evaluated"], out=empty.copy(), where=sums["evaluated"] > 0),
        "loss": np.divide(sums["loss"], sums["losses"], out=empty, where=sums["losses"] > 0),
        "event_counts": events,
    }


__all__ = ["index_view", "targets"]
