"""Processes that are killed at work: what each does, and what must be true of the run that it leaves.

Each is a pair: ``work(run, told)`` goes on until it is killed or done and tells what is safe by now;
``check(run, safe)`` looks at what is left, and gives the number of snapshots there. An AssertionError is a loss.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from deeptracker import Recorder, analyze, ingest_run, open_run
from deeptracker.errors import DeepTrackerError, InputError, NotARunError
from deeptracker.store import verify
from deeptracker.testing import simulate

Tell = Callable[[int], None]
DONE = 1_000_000_000
"""Told where all is done; more than any step."""
NOTHING = -1
"""Told where there is nothing to lose yet."""
SOURCES = "SOAK_SOURCES"
"""Name of the variable that leads to the checkpoints."""
FILTERS, IMAGES, EVERY = 6, 30, 5
STEPS = 4000


def weights(step: int) -> np.ndarray[Any, Any]:
    """Of the layer that is recorded, at a step; (filter, in, y, x)."""
    base = np.random.default_rng(1).standard_normal((FILTERS, 2, 3, 3))
    return (base * (1 + step / 1000)).astype(np.float32)


def answers(step: int) -> np.ndarray[Any, Any]:
    """Class predicted for each image, at a step."""
    return (np.arange(IMAGES) + step) % 3


def record(run: str, told: Tell) -> None:
    """A training that resumes where its log ends, as one does from a checkpoint."""
    import torch

    torch.set_num_threads(1)
    start = 0
    with suppress(DeepTrackerError):
        start = int(open_run(run).scalars["iteration"].values[-1]) + 1
    model = torch.nn.Conv2d(2, FILTERS, 3, bias=False)
    with Recorder(run, model, every=1, flush_secs=0.02, strict=True) as recorder:
        told(NOTHING)
        recorder.images(target=np.arange(IMAGES) % 3)
        for step in range(start, start + STEPS):
            with torch.no_grad():
                model.weight.copy_(torch.from_numpy(weights(step)))
            recorder.step(step, loss=step / 8)
            recorder.validation(step, predicted=answers(step))
            if step % EVERY == 0:
                recorder.flush()
                told(step)


def check_recorded(run: str, safe: int) -> int:
    """Every snapshot up to the last that was reported, and each that is there, as it was recorded."""
    try:
        opened = open_run(run)
    except NotARunError:
        assert safe == NOTHING
        return 0
    if not opened.has("scalars"):
        assert safe == NOTHING
        return 0
    scalars = opened.scalars.load()
    steps = scalars["iteration"].values
    np.testing.assert_array_equal(steps, np.arange(len(steps)))
    assert len(steps) > safe, f"{len(steps)} rows, and {safe} was reported"
    np.testing.assert_array_equal(scalars["loss"].values, steps / 8)
    filters = opened.filters["w_rms"].load()
    at = filters["iteration"].values
    assert at[-1] >= safe
    np.testing.assert_array_equal(at, np.arange(len(at)))
    expected = np.sqrt(np.square(weights(0).astype(np.float64)).mean((1, 2, 3))) * (1 + at[:, None] / 1000)
    np.testing.assert_allclose(filters.values, expected, rtol=1e-5)
    passes = opened.validation["predicted"].load()
    assert passes["validation"].values[-1] >= safe
    images = passes["image"].values.astype(int)  # they lie sorted by class
    expected = np.stack([answers(int(step))[images] for step in passes["validation"].values])
    np.testing.assert_array_equal(passes.values, expected)
    return len(steps)


def ingest(run: str, told: Tell) -> None:
    """Checkpoints become a run; from the beginning, where it was killed."""
    with suppress(InputError):  # it was done before
        ingest_run(os.environ[SOURCES], run, progress=lambda what, share: told(NOTHING))
    told(DONE)


def ingest_on(run: str) -> None:
    """To the end, where it was killed before."""
    with suppress(InputError):  # it was done
        ingest_run(os.environ[SOURCES], run)
    check_ingested(run, DONE)


def make_sources(folder: Any) -> None:
    """Checkpoints of a training."""
    folder.mkdir(parents=True, exist_ok=True)
    for step in range(0, 400, 10):
        np.savez(folder / f"step-{step}.npz", **{"conv.weight": weights(step)})


def check_ingested(run: str, safe: int) -> int:
    """All of it where that was said; else the run opens, or there is none."""
    try:
        opened = open_run(run)
    except NotARunError:
        assert safe != DONE
        return 0
    if safe == DONE:
        filters = opened.filters["w_rms"].load()
        at = filters["iteration"].values
        np.testing.assert_array_equal(at, np.arange(0, 400, 10))
        expected = np.sqrt(np.square(weights(0).astype(np.float64)).mean((1, 2, 3))) * (1 + at[:, None] / 1000)
        np.testing.assert_allclose(filters.values, expected, rtol=1e-5)
    else:
        for group in opened.groups:
            opened.dataset(group).load()
    return int(opened.filters.sizes["iteration"]) if opened.has("filters/dense") else 0


def analyse(run: str, told: Tell) -> None:
    """All stages, again and again, so that a kill also meets results that are replaced."""
    told(NOTHING)
    while True:
        analyze(run, stages=["index", "anomalies", "correlation"])
        told(DONE)


def make_recorded(run: Any) -> None:
    """A run to be analysed."""
    simulate(run, model="tiny", iterations=200, images=30, passes=20, classes=3, seed=5)


def check_analysed(run: str, safe: int) -> int:
    """Every stage that is named is whole; none is missing once they were said to be there."""
    opened = open_run(run)
    if safe == DONE:
        assert set(opened.stages) >= {"index", "anomalies", "correlation"}
    for group in opened.groups:
        opened.dataset(group).load()
    return len(opened.stages)


def settle(run: str) -> None:
    """What is left is sound."""
    found = verify(run)
    assert not found, str(found[0])


__all__ = [
    "DONE", "NOTHING", "SOURCES", "analyse", "check_analysed", "check_ingested", "check_recorded", "ingest",
    "ingest_on", "make_recorded", "make_sources", "record", "settle",
]  # fmt: skip
