"""The newest rows of a run are those of the run, and what lies in them is found without the rest."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from growing import ITERATIONS, JUMPS, record

from deeptracker.aggregate import Source, windows
from deeptracker.detect import detect
from deeptracker.errors import LockedRunError
from deeptracker.store import Run, open_run
from deeptracker.store.recent import Recent
from deeptracker.store.verify import verify


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path: Path = tmp_path_factory.mktemp("recent") / "run"
    record(path, 0, ITERATIONS, budget=None)
    return open_run(path)


@pytest.fixture(scope="module")
def recent(run: Run) -> Recent:
    return Recent.of(run, 900, 10)


def test_recent__has_the_newest_rows_of_every_group(run: Run, recent: Recent) -> None:
    assert set(recent.groups) == set(run.groups)
    for group in run.groups:
        growth = run.commit.groups.get(group)
        whole = run.dataset(group)
        if growth is None:
            xr.testing.assert_identical(recent.dataset(group).load(), whole.load())
            continue
        first = recent.first[group]
        xr.testing.assert_identical(
            recent.dataset(group).load(), whole.isel({growth.axis: slice(first, None)}).load()
        )
    dense = recent.dataset("filters/dense")
    assert dense.sizes["iteration"] == 900
    assert recent.dataset("validation/validation/raw").sizes["validation"] == 10
    for group in ("scalars", "layers/dense", "filters/probe"):
        assert recent.dataset(group)["iteration"].values[0] >= dense["iteration"].values[0]


def test_recent__is_read_by_tasks_as_what_it_is(run: Run, recent: Recent) -> None:
    copy = pickle.loads(pickle.dumps(Source(recent, "filters/dense")))
    own = Source(run, "filters/dense")
    np.testing.assert_array_equal(copy.read("w_rms", 3, 40), own.read("w_rms", 703, 740))
    np.testing.assert_array_equal(own.read("w_rms", 3, 40), run.dataset("filters/dense")["w_rms"][3:40].values)
    assert windows(copy, "iteration")[-1][1] == 900


def test_detect__finds_what_lies_in_the_newest_rows_and_leaves_the_run_alone(run: Run, recent: Recent) -> None:
    found = [e for e in detect(recent).event_documents() if e["kind"] == "anomaly"]
    later = max(JUMPS)
    assert [abs(event["iteration"] - later) <= 2 for event in found] == [True]
    assert run.refresh().stages == {}
    assert verify(run.path) == []
    with recent.write_stage("anomalies", {}), pytest.raises(LockedRunError), recent.write_stage("anomalies", {}):
        pass
    recent.remove()
    assert not (run.path / "live").exists()


def test_recent__of_a_run_that_is_shorter_is_all_of_it(run: Run) -> None:
    whole = Recent.of(run, 10_000, 10_000)
    assert set(whole.first.values()) == {0}
    xr.testing.assert_identical(whole.dataset("scalars").load(), run.dataset("scalars").load())
