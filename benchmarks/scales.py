"""Simulated runs at the size of the paper's and at ten times that, recorded, analysed, with a cube on top.

Ten times: each row of a shorter simulation is written ten times over, with noise of its own. There, only ``KEPT`` of
the statistics of filters hold numbers, the others NaN: full, it would take an hour and 25 GB. Index and anomalies are
those of the analysis. The stage ``correlation`` is drawn at random in the shape that the analysis gives it, and much
fuller: a simulation with a handful of faults leaves a nearly empty cube, which would be shown faster.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.aggregate import build_index
from deeptracker.analysis import analyze
from deeptracker.conform import build
from deeptracker.store import LogWriter, Run, open_run
from deeptracker.testing import simulate

KEPT = ("update_angle", "w_rms", "g_rms")
VIEW = "validation/raw"
_MARKED, _FRONT = 0.004, 0.03
"""Shares of the cells of the cube's faces that hold something."""


@dataclass(frozen=True)
class Scale:
    """Sizes of a run: ``records`` snapshots and passes, each of ``simulated`` ones written ``times`` over."""

    name: str
    model: str
    simulated: int
    times: int
    images: int
    classes: int
    every_statistic: bool

    @property
    def records(self) -> int:
        """Snapshots, and validation passes."""
        return self.simulated * self.times


PAPER = Scale("paper", "resnet50", 750, 1, 50_000, 1000, True)
TEN_TIMES = Scale("ten-times", "resnet50", 750, 10, 50_000, 1000, False)
SMALL = Scale("small", "resnet20", 100, 3, 2000, 50, True)
SMALL_TEN_TIMES = Scale("small-ten-times", "resnet20", 100, 30, 2000, 50, False)
BOTH = {scale.name: scale for scale in (PAPER, TEN_TIMES)}


class _Repeated:
    """A sink that writes each row several times, one position after the other, each with noise of its own."""

    def __init__(self, path: Path, scale: Scale) -> None:
        self.scale, self.rng = scale, np.random.default_rng(0)
        self.writer = LogWriter(path, resume=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.writer, name)

    def append(self, group: str, position: int, row: Mapping[str, Any]) -> None:
        times = self.scale.times if not group.endswith(("/full", "/probe")) else 1
        if group == "filters/dense" and not self.scale.every_statistic:
            nothing = np.full(len(row["w_rms"]), np.nan, np.float32)
            row = {
                name: nothing if name not in KEPT and getattr(value, "dtype", None) == np.float32 else value
                for name, value in row.items()
            }
        for turn in range(times):
            self.writer.append(group, position * self.scale.times + turn, self._noisy(group, row) if turn else row)

    def _noisy(self, group: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if group == "filters/dense":
            noise = np.exp(0.05 * self.rng.standard_normal(len(row["w_rms"]), np.float32))
            return {name: value * noise if name in KEPT else value for name, value in row.items()}
        if group.startswith("validation/"):
            changed = self.rng.random(len(row["correct"]), np.float32) < 0.02
            said = np.where(changed, np.int16(self.rng.integers(self.scale.classes)), row["predicted"])
            return {**row, "predicted": said, "correct": np.where(changed, np.int8(0), row["correct"])}
        if group == "scalars":
            return {**row, "loss": row["loss"] * float(np.exp(0.1 * self.rng.standard_normal()))}
        return row


def made(scale: Scale, folder: Path) -> Run:
    """The run of a scale in a folder, made there where it is not; says how long each part took."""
    path = folder / scale.name
    if (path / "commit.json").exists() and {"anomalies", "correlation"} <= set(open_run(path).stages):
        return open_run(path)
    began = time.perf_counter()
    sizes = {"iterations": scale.simulated, "passes": scale.simulated, "images": scale.images}
    sink: Any = _Repeated(path, scale)
    simulate(sink, model=scale.model, classes=scale.classes, seed=1, **sizes)
    recorded = time.perf_counter()
    run = build_index(open_run(path))
    indexed = time.perf_counter()
    run = analyze(run, stages=["anomalies"])
    judged = time.perf_counter()
    _cube(run, scale)
    took = f"indexed in {indexed - recorded:.0f} s, judged in {judged - indexed:.0f} s"
    print(f"{path}: simulated in {recorded - began:.0f} s, {took}", flush=True)
    return open_run(path)


def _cube(run: Run, scale: Scale) -> None:
    """The faces of a cube, as full as those of a long training."""
    rng = np.random.default_rng(2)
    path = f"correlation/validation/{VIEW}"
    most = min(200, run.dataset("architecture").sizes["filter"])
    passes = run.dataset(f"validation/{VIEW}")["validation"].values
    layers = run.dataset("architecture")["layer"].values
    names = run.dataset(f"images/{VIEW.split('/')[0]}")["class"].values
    marked = rng.random((len(passes), len(names)), np.float32) < _MARKED
    front = np.where(
        rng.random((len(passes), len(layers))) < _FRONT, rng.integers(1, 9, (len(passes), len(layers))), 0
    )
    union = rng.integers(0, 40, (len(layers), len(names)))
    sets = {
        "layer": rng.integers(0, len(layers), 60),
        "size": rng.integers(2, 9, 60),
        "cells": rng.integers(2, 9, 60),
    }
    of = np.repeat(np.arange(60), sets["cells"])
    p, c = np.nonzero(marked)
    where = rng.integers(0, len(p), len(of))
    filters = np.repeat(np.arange(60), sets["size"])
    tables = {
        "passes": (
            {
                "abnormal": marked.astype(np.int8),
                "count": rng.integers(0, 9, marked.shape).astype(np.int32),
                "kept": (marked.sum(axis=0) > 1).astype(np.int8),
            },
            {"validation": passes, "class": names},
        ),
        "front": (
            {"filters": front.astype(np.int32), "score": rng.random(front.shape, np.float32)},
            {"validation": passes, "layer": layers},
        ),
        "side": (
            {
                "union": union.astype(np.int32),
                "expected": np.full(union.shape, 20, np.float32),
                "ratio": (union / 20).astype(np.float32),
                "link": rng.standard_normal(union.shape).astype(np.float32),
                "p": rng.random(union.shape, np.float32),
            },
            {"layer": layers, "class": names},
        ),
        "minisets": ({name: values.astype(np.int32) for name, values in sets.items()}, {}),
        "miniset_cells": (
            {
                "miniset": of.astype(np.int32),
                "class_index": c[where].astype(np.int32),
                "iteration": passes[p[where]].astype(np.int64),
            },
            {},
        ),
        "miniset_filters": (
            {"miniset": filters.astype(np.int32), "filter": rng.integers(0, most, len(filters)).astype(np.int32)},
            {},
        ),
    }
    tables |= {f"tolerant_{name}": tables[name] for name in ("minisets", "miniset_cells", "miniset_filters")}
    with run.write_stage("correlation", {"drawn": "at random"}) as writer:
        for name, (arrays, coordinates) in tables.items():
            writer.put(f"{path}/{name}", build(f"{path}/{name}", arrays, coordinates))
