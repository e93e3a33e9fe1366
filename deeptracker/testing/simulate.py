"""A run of any size, written as a recorder would write it, with anomalies planted where only the caller knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.errors import InputError
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.sink import Sink
from deeptracker.statistics import GRADIENT, HISTOGRAM_EDGES, THRESHOLDS, WEIGHT, derive, merge
from deeptracker.testing.answers import Answers, thumbnails
from deeptracker.testing.distributions import full_rows, probe_rows
from deeptracker.testing.evolution import Evolution
from deeptracker.testing.networks import Layer, architecture, network
from deeptracker.testing.plan import Plan, plant, schedule

FULL_EVERY, PROBE_EVERY = 50, 20
"""Records between two rows of the rarer schedules."""

_BLOCK_VALUES = 1 << 18
_NORMALISATION = {"gamma": "gamma", "beta": "beta", "running_mean": "mean", "running_var": "variance"}

Rows = dict[str, npt.NDArray[Any]]


def simulate(
    path: str | Path | Sink,
    *,
    model: str = "resnet20",
    iterations: int,
    images: int = 0,
    passes: int = 0,
    classes: int = 10,
    seed: int = 0,
    anomalies: bool = True,
    every: int = 1,
    thumbnails: bool = False,
) -> dict[str, Any]:
    """Write a run whose numbers look like those of a real training, and say what was planted in it.

    Parameters
    ----------
    path : folder of the new run, or any sink.
    model : ``tiny``, ``resnet20`` or ``resnet50``.
    iterations : training iterations 0 … iterations − 1; one row of scalars each, filters at every ``every``-th.
    images, passes, classes : size of the validation set ``validation/raw``; 0 images or passes: none.
    seed : the same seed gives the same run.
    anomalies : plant some; without, only the learning rate changes.
    thumbnails : add 16 × 16 pictures.

    Returns
    -------
    The truth, which the run does not hold: ``anomalies`` (each with ``kind``, ``iteration`` and its place),
    ``learning_rate_drops`` and the sizes.

    Raises
    ------
    InputError : an unknown model, or a size or seed below its least.

    Notes
    -----
    Memory does not grow with the length of the run: records are made in blocks of a few MiB.
    """
    least = {"iterations": (iterations, 1), "images": (images, 0), "passes": (passes, 0), "every": (every, 1)}
    for name, (value, smallest) in {**least, "classes": (classes, 2), "seed": (seed, 0)}.items():
        if value < smallest:
            raise InputError(f"simulate(): {name}={value}, but at least {smallest} is needed")
    layers = network(model, classes=classes)
    rng = np.random.default_rng(seed)
    seen = images and passes
    plan = schedule(iterations, passes if seen else 0, every)
    if anomalies:
        plant(plan, layers, classes=classes if seen else 0, rng=np.random.default_rng((seed, 1)))
    evolution = Evolution(layers, np.random.default_rng((seed, 2)))
    sink = _open(path)
    try:
        _describe(sink, model, every)
        sink.put("architecture", architecture(layers, evolution.initial_norm2()))
        answers = _images(sink, images, classes, np.random.default_rng((seed, 3)), thumbnails) if seen else None
        _run(sink, plan, evolution, answers, rng)
    finally:
        sink.close()
    return {
        "model": model,
        "iterations": iterations,
        "records": len(plan.records),
        "passes": plan.passes.tolist(),
        "images": images if seen else 0,
        "classes": classes,
        "seed": seed,
        "learning_rate_drops": list(plan.rate_drops),
        "anomalies": plan.truth,
    }


def _open(path: str | Path | Sink) -> Sink:
    if isinstance(path, (str, Path)):
        from deeptracker.store import LogWriter  # here: a sink of one's own needs no store

        writer: Sink = LogWriter(path, resume=False)
        return writer
    return path


def _describe(sink: Sink, model: str, every: int) -> None:
    sink.describe(
        {
            "schema_version": SCHEMA_VERSION,
            "model": model,
            "framework": "simulated",
            "host": {},
            "optimizers": ["SGD"],
            "schedules": {"dense": every, "full": every * FULL_EVERY, "probe": every * PROBE_EVERY},
            "started": 0.0,
        }
    )


def _images(sink: Sink, images: int, classes: int, rng: np.random.Generator, pictures: bool) -> Answers:
    target = np.sort(np.arange(images) % classes).astype(np.int32)
    names = np.array([f"class {number}" for number in range(classes)], dtype=object)
    position = np.argsort(np.arange(images) % classes, kind="stable").astype(np.int32)
    table = xr.Dataset(
        {"target": ("image", target), "position": ("image", position)},
        {"image": position.astype(np.int64), "class": ("class", names)},
    )
    if pictures:
        table["thumbnail"] = (("image", "y", "x", "band"), thumbnails(target, classes, rng))
    sink.put("images/validation", table)
    sink.coordinates("validation/validation/raw", {"image": position.astype(np.int64)})
    return Answers(target, classes, rng)


def _run(sink: Sink, plan: Plan, evolution: Evolution, answers: Answers | None, rng: np.random.Generator) -> None:
    names = np.array([layer.name for layer in evolution.layers], dtype=object)
    sink.coordinates("scalars", {"param_group": np.arange(1)})
    for part in ("dense", "full", "probe"):
        extra = {"bin": HISTOGRAM_EDGES, "threshold": THRESHOLDS} if part == "full" else {}
        sink.coordinates(f"filters/{part}", {})
        sink.coordinates(f"layers/{part}", {"layer": names, **extra})
    snapshots = _snapshots(plan, evolution)
    due = {int(at): number for number, at in enumerate(plan.passes)}
    clock = 1_700_000_000.0
    for iteration in range(plan.iterations):
        grad_norm = np.nan
        if iteration % (plan.records[1] if len(plan.records) > 1 else plan.iterations) == 0:
            rows = next(snapshots)
            for group, row in rows.items():
                sink.append(group, iteration, row)
            grad_norm = float(np.sqrt(np.sum(rows["layers/dense"]["g_norm2"].astype(np.float64) ** 2)))
        clock += 0.05 * (1 + 0.1 * rng.random())
        share = iteration / plan.iterations
        drops = sum(iteration >= at for at in plan.rate_drops)
        curve = 2.3 * np.exp(-5 * share) + 0.45 * 0.35**drops + 0.02
        sink.append(
            "scalars",
            iteration,
            {
                "loss": curve * np.exp(0.12 * rng.standard_normal()),
                "learning_rate": np.array([plan.learning_rate(iteration)]),
                "grad_norm": grad_norm,
                "steps": 1 if iteration else -1,
                "step_skipped": 0,
                "wall_time": clock,
                "recorder_seconds": 0.002 * (1 + 0.1 * rng.random()),
            },
        )
        if answers is not None and iteration in due:
            sink.append("validation/validation/raw", iteration, answers.answer(due[iteration], plan))


def _snapshots(plan: Plan, evolution: Evolution) -> Iterator[dict[str, Rows]]:
    """Rows of the filter and layer groups, record by record, derived in blocks."""
    filters, layers = len(evolution.layer), evolution.layers
    parameters = np.array([layer.filters * layer.fan_in for layer in layers])
    block = max(1, _BLOCK_VALUES // filters)
    for start in range(0, len(plan.records), block):
        records = plan.records[start : start + block]
        weights = np.empty((len(records), filters, len(WEIGHT)))
        gradients = np.empty((len(records), filters, len(GRADIENT)))
        extra: list[Rows] = []
        probes: dict[int, tuple[Rows, Rows]] = {}
        for k, iteration in enumerate(records.tolist()):
            number = start + k
            evolution.advance(
                weights[k],
                gradients[k],
                rate=plan.learning_rate(iteration),
                steps=int(plan.records[1] - plan.records[0]) if len(plan.records) > 1 else 1,
                progress=iteration / plan.iterations,
                shocks=plan.shocks.get(number, []),
            )
            extra.append({f"bn_{k}": getattr(evolution, v).astype(np.float32) for k, v in _NORMALISATION.items()})
            if number % PROBE_EVERY == 0:
                probes[k] = probe_rows(evolution)
        per_filter, per_layer = _derived(weights, gradients, evolution, layers, first=start == 0)
        for k in range(len(records)):
            number = start + k
            steps = int(plan.records[number] - plan.records[number - 1]) if number else -1
            one = {name: values[k] for name, values in per_filter.items()}
            all_of = {name: values[k] for name, values in per_layer.items()}
            rows: dict[str, Rows] = {
                "filters/dense": {**one, **extra[k], "steps": np.int32(steps)},  # type: ignore[dict-item]
                "layers/dense": {**all_of, "steps": np.int32(steps)},  # type: ignore[dict-item]
            }
            if number % FULL_EVERY == 0:
                rows["filters/full"], rows["layers/full"] = full_rows(evolution, one, all_of, parameters)
            if k in probes:
                rows["filters/probe"], rows["layers/probe"] = probes[k]
            yield rows


def _derived(
    weights: npt.NDArray[np.float64],
    gradients: npt.NDArray[np.float64],
    evolution: Evolution,
    layers: list[Layer],
    *,
    first: bool,
) -> tuple[Rows, Rows]:
    """The standard statistics of a block, (records, filters) and (records, layers); Δw is NaN at the first record."""
    records, filters, _ = weights.shape
    starts = (np.arange(records)[:, None] * filters + evolution.first).ravel()
    out = []
    w, g = weights.reshape(-1, len(WEIGHT)), gradients.reshape(-1, len(GRADIENT))
    for size, (mine, theirs) in (
        (filters, (w, g)),
        (len(layers), (merge(w, starts, WEIGHT), merge(g, starts, GRADIENT))),
    ):
        named = {name: values.reshape(records, size) for name, values in derive(mine, theirs).items()}
        if first:
            for name, values in named.items():
                if name.startswith("update_"):
                    values[0] = np.nan
        out.append(named)
    return out[0], out[1]
