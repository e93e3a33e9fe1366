"""The forecast is what then happens: tasks, bytes read and written, and the memory of the largest task."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from dask.callbacks import Callback

from deeptracker import Run, analyze, open_run
from deeptracker.aggregate import Source
from deeptracker.aggregate.cost import index_cost
from deeptracker.analysis import forecast
from deeptracker.store.regions import Region
from deeptracker.testing import simulate

STAGES = ("index", "anomalies", "correlation")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forecast") / "run"
    simulate(path, model="resnet20", iterations=1300, images=400, passes=300, classes=5, seed=2)
    return analyze(path).path


class Seen(Callback):
    """Counts what happens in one process."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.tasks = self.read = self.written = 0
        read, get, put = Source.read, Region.read, Region.put

        def counted_read(source: Source, *place: Any) -> Any:
            values = read(source, *place)
            self.read += values.nbytes
            return values

        def counted_get(region: Region, *place: Any) -> Any:
            values = get(region, *place)
            # What alarms look up of single layers afterwards is no part of any plan.
            self.read += values.nbytes if region.shape[1:] == values.shape[1:] else 0
            return values

        def counted_put(region: Region, start: int, values: np.ndarray) -> None:
            put(region, start, values)
            self.written += values.size * region.dtype.itemsize

        patch.setattr(Source, "read", counted_read)
        patch.setattr(Region, "read", counted_get)
        patch.setattr(Region, "put", counted_put)

    def _posttask(self, key: Any, result: Any, dsk: Any, state: Any, worker: Any) -> None:
        self.tasks += 1


def numbers(run: Run, stage: str) -> int:
    """Bytes of the numbers in the stage's groups, events and mini-sets left out."""
    total = 0
    for group in run.groups:
        if (
            group.startswith(f"{stage}/")
            and "minisets" not in group
            and not group.endswith(("events", "_cells", "_filters"))
        ):
            total += sum(v.nbytes for v in run.dataset(group).data_vars.values() if v.dtype.kind in "iuf")
    return total


@pytest.mark.parametrize("stage", STAGES)
def test_forecast__is_what_happens(path: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(path)
    expected = forecast(run, [stage], anew=True).cost
    seen = Seen(monkeypatch)
    tracemalloc.start()
    try:
        with seen, dask.config.set(scheduler="synchronous"):
            run = analyze(run, stages=[stage])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    scratch = 8 * run.filters.w_rms.nbytes if stage == "anomalies" else 0
    assert seen.read == pytest.approx(expected.read, rel=0.02)
    assert numbers(run, stage) + scratch == pytest.approx(expected.written, rel=0.02)
    assert 0.4 * expected.task_bytes < peak < expected.task_bytes + numbers(run, stage) + (30 << 20)
    assert seen.tasks == pytest.approx(expected.tasks, rel=0.1)


def test_forecast__counts_the_bins_of_passes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(path)
    bins = run.dataset("index/validation/validation/raw/classes_8")
    whole = index_cost(run, anew=True).written
    monkeypatch.setattr("deeptracker.aggregate.cost.pass_bin_sizes", lambda _: ())
    assert whole - index_cost(run, anew=True).written == sum(data.nbytes for data in bins.data_vars.values())


def test_forecast__of_what_is_up_to_date_reads_only_what_is_new(path: Path) -> None:
    run = open_run(path)
    assert forecast(run, ["index"]).cost.read < 0.5 * forecast(run, ["index"], anew=True).cost.read


def test_forecast__says_it_in_a_line(path: Path) -> None:
    text = str(forecast(open_run(path), STAGES))
    assert text.startswith("index, anomalies, correlation: ")
    for word in ("tasks", "reads", "writes", "of memory a worker"):
        assert word in text
