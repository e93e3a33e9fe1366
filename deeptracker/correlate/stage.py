"""The stage "correlation": what changed in the weights when answers changed. Labelled tier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from deeptracker.aggregate import Progress, Readable, Source, compute, windows
from deeptracker.conform import build
from deeptracker.correlate.faces import abnormal, expected_union, union
from deeptracker.correlate.join import alarms, front, listed, members, pass_of, strongest, together
from deeptracker.correlate.links import DRAWS, STRATUM, Strata, p_values
from deeptracker.correlate.minisets import LEAST_WEIGHT, MiniSet, minisets, tolerant_minisets
from deeptracker.detect.classes import long_run
from deeptracker.errors import InputError

if TYPE_CHECKING:
    from deeptracker.store import Run

Method = Literal["calibrated", "lowest-cosine"]

FILTER_BYTES, CLASS_BYTES = 16 << 20, 32 << 20  # of a window of the filters' scores, and of the counts of classes
DRAWS_A_TASK = 250

LEAST_PASSES = 2
"""A class with fewer abnormal passes is left out of the cube, as in the original."""


def correlate(run: Run, *, method: Method = "calibrated", progress: Progress | None = None) -> Run:
    """Write the cube of a run: its three faces and the mini-sets, for every validation set.

    Parameters
    ----------
    run : with the stage "anomalies".
    method : which filters count: ``calibrated``, those at their alarm level (the original's ten lowest cosines where
        the run is uncalibrated), or ``lowest-cosine``, those ten everywhere.
    progress : called with what is being done and the share of it that is.

    Returns
    -------
    The run, with ``correlation/…`` groups; of a run without filters or classes, those that can be.

    Raises
    ------
    MissingGroupError : the run has no anomalies yet. InputError : another method.
    """
    if method not in ("calibrated", "lowest-cosine"):
        raise InputError(f'method={method!r} is unknown: choose "calibrated" or "lowest-cosine"')
    inputs = {name: run.stages[name]["version"] for name in ("anomalies",) if name in run.stages}
    if "anomalies" not in inputs:
        run.dataset("anomalies/events")  # raises, and names what makes it
    with run.write_stage("correlation", {"parameters": {"method": method}, "inputs": inputs}) as writer:
        for view in run.validation_sets:
            if run.has(f"anomalies/validation/{view}/classes"):
                writer.put_many(cube(run, view, method=method, progress=progress))
    return run.refresh()


def cube(
    run: Readable, view: str, *, method: Method = "calibrated", progress: Progress | None = None
) -> dict[str, xr.Dataset]:
    """Groups of the cube of one ``<set>/<weights>``: ``passes``, and where there are filters ``front``, ``side``,
    ``minisets``, ``miniset_cells`` and ``miniset_filters``, and the same as ``tolerant_minisets``, ….
    """
    path = f"correlation/validation/{view}"
    rules = run.dataset(f"anomalies/validation/{view}/classes")
    passes = rules["validation"].values.astype(np.int64)
    names = rules["class"].values
    images = _images(run, view, len(names))
    late = min(long_run(len(passes)), rules.sizes["k"]) - 1
    marked, count = _marked(run, f"anomalies/validation/{view}/classes", images, late, progress, f"classes {view}")
    kept = marked.sum(axis=0) >= LEAST_PASSES
    out = {
        f"{path}/passes": build(
            f"{path}/passes",
            {"abnormal": marked.astype(np.int8), "count": count, "kept": kept.astype(np.int8)},
            {"validation": passes, "class": names},
            {"k": late + 1},
        )
    }
    source = _source(run, method)
    if source is None or not run.has("architecture"):
        return out
    architecture = run.dataset("architecture")
    layer = architecture["filter_layer"].values.astype(np.int64)
    first = architecture["first_filter"].values.astype(np.int64)
    found, score = _members(run, source, passes, first, progress, f"correlate {view}")
    layers = {"layer": architecture["layer"].values}
    seen, expected = union(found, marked, layer, len(first)), expected_union(found, marked, layer, len(first))
    anomalous = front(found, len(passes), layer, len(first))
    out[f"{path}/front"] = build(
        f"{path}/front",
        {"filters": anomalous, "score": score},
        {"validation": passes, **layers},
    )
    out[f"{path}/side"] = build(
        f"{path}/side",
        {
            "union": seen,
            "expected": expected,
            "ratio": np.divide(seen, expected, out=np.full(expected.shape, np.nan), where=expected > 1e-9),
            **_links(anomalous > 0, marked, progress, f"links {view}"),
        },
        {**layers, "class": names},
        {"draws": DRAWS, "stratum": STRATUM},
    )
    counted = marked & kept
    out |= _sets(f"{path}/miniset", minisets(found, counted, layer), passes)
    return out | _sets(f"{path}/tolerant_miniset", tolerant_minisets(found, counted, layer), passes)


def _marked(
    run: Readable, group: str, images: npt.NDArray[np.int64], late: int, progress: Progress | None, what: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """Abnormal (pass, class) and their counts; the rules are counted for a hundred k, of which two are looked at."""
    source = Source(run, group)
    tasks = [
        delayed(_marked_in, pure=False)(source, start, stop, images, late)
        for start, stop in windows(source, "validation", most_bytes=CLASS_BYTES)
    ]
    found = compute(tasks, what=what, progress=progress)
    return np.concatenate([marked for marked, _ in found]), np.concatenate([count for _, count in found])


def _marked_in(source: Source, start: int, stop: int, images: npt.NDArray[np.int64], late: int) -> Any:

    def both(name: str) -> npt.NDArray[np.int64]:
        """Gains and losses together, as the original counts them, of k = 1 and the long one; −1 (no count) as 0."""
        some = source.read(name, start, stop)[:, :, [0, late]]  # (passes, classes, k, direction)
        total: npt.NDArray[np.int64] = np.maximum(some, 0).sum(axis=-1, dtype=np.int64)
        return total

    return abnormal(both("left"), both("right"), images, 1)


def _images(run: Readable, view: str, classes: int) -> npt.NDArray[np.int64]:
    target = run.dataset(f"images/{view.split('/')[0]}")["target"].values.astype(np.int64)
    return np.bincount(target[target >= 0], minlength=classes)[:classes]


def _source(run: Readable, method: Method) -> Source | None:
    """Where anomalous filters are told: scores where they are calibrated and asked for, else the ten lowest."""
    if method == "calibrated" and run.has("anomalies/filters"):
        levels = run.dataset("anomalies/iterations")["filter_level"].values
        if np.isfinite(levels).any():
            return Source(run, "anomalies/filters")
    return Source(run, "anomalies/lowest_cosine") if run.has("anomalies/lowest_cosine") else None


def _window(
    source: Source, scores: Source | None, start: int, stop: int, number: Any, passes: int, first: Any
) -> Any:
    if source.group == "anomalies/filters":
        found = alarms(source.read("filter_excess", start, stop))
    else:
        found = listed(source.read("filter", start, stop))
    score = None
    if scores is not None:
        score = strongest(scores.read("filter_score", start, stop), number, passes, first)
    return members(found, number), score


def _members(
    run: Readable, source: Source, passes: Any, first: Any, progress: Progress | None, what: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """All (pass, filter) pairs, and the largest score of each layer at each pass."""
    scores = Source(run, "anomalies/filters") if run.has("anomalies/filters") else None
    number = pass_of(source.dataset["iteration"].values, passes)
    spans = windows(scores or source, "iteration", most_bytes=FILTER_BYTES)
    tasks = []
    for start, stop in spans:
        # The task counts passes from the first one in its window, so that what it gives back is as small.
        there = number[start:stop]
        low = int(there[0]) if there[0] >= 0 else len(passes)
        high = int(there.max(initial=-1)) + 1
        shifted = np.where(there >= 0, there - low, -1)
        tasks.append(delayed(_window, pure=False)(source, scores, start, stop, shifted, max(high - low, 0), first))
    found, score = [], np.full((len(passes), len(first)), np.nan, np.float32)
    for (start, _), (pairs, part) in zip(spans, compute(tasks, what=what, progress=progress), strict=True):
        low = int(number[start])
        found.append(pairs + [low, 0])
        if part is not None and low >= 0:
            score[low : low + len(part)] = np.fmax(score[low : low + len(part)], part)
    return together(found), score


def _links(
    anomalous: npt.NDArray[np.bool_], marked: npt.NDArray[np.bool_], progress: Progress | None, what: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Score and p of the link of each layer and class; p is corrected for all of them."""
    strata = Strata.of(anomalous, marked)
    shared = delayed(strata, pure=False, traverse=False)
    tasks = [delayed(_largest, pure=False)(shared, first, min(first + DRAWS_A_TASK, DRAWS))
             for first in range(0, DRAWS, DRAWS_A_TASK)]  # fmt: skip
    score = strata.score()
    return {"link": score, "p": p_values(score, np.concatenate(compute(tasks, what=what, progress=progress)))}


def _largest(strata: Strata, first: int, stop: int) -> npt.NDArray[np.float64]:
    return strata.largest(range(first, stop))


def _sets(path: str, sets: list[MiniSet], passes: npt.NDArray[np.int64]) -> dict[str, xr.Dataset]:
    cells = np.array([(n, c, passes[v]) for n, one in enumerate(sets) for v, c in one.cells], np.int64).reshape(-1, 3)
    filters = np.array([(n, f) for n, one in enumerate(sets) for f in one.filters], np.int64).reshape(-1, 2)
    least = {"least_weight": LEAST_WEIGHT}
    return {
        f"{path}s": build(
            f"{path}s",
            {
                "layer": np.array([one.layer for one in sets], np.int32),
                "size": np.array([len(one.filters) for one in sets], np.int32),
                "cells": np.array([len(one.cells) for one in sets], np.int32),
            },
            attrs=least,
        ),
        f"{path}_cells": build(
            f"{path}_cells",
            {"miniset": cells[:, 0], "class_index": cells[:, 1], "iteration": cells[:, 2]},
        ),
        f"{path}_filters": build(
            f"{path}_filters",
            {"miniset": filters[:, 0], "filter": filters[:, 1]},
        ),
    }


__all__ = ["CLASS_BYTES", "DRAWS_A_TASK", "FILTER_BYTES", "correlate", "cube"]
