"""The same results in threads and on worker processes, and after a worker was killed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from deeptracker.aggregate import windows
from deeptracker.analysis import analyze
from deeptracker.cluster import Profile, connect
from deeptracker.store import Run
from deeptracker.testing import simulate


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("runs") / "tiny"
    simulate(where, model="tiny", iterations=310, images=60, passes=50, classes=3, seed=4)
    return where


@pytest.fixture(scope="module")
def alone(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run, analysed by threads of this process."""
    copy = tmp_path_factory.mktemp("alone") / "tiny"
    shutil.copytree(path, copy)
    return analyze(copy)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connect(Profile(workers=2, threads=1)) as connected:
        yield connected


def derived(run: Run) -> list[str]:
    return [group for group in run.groups if group.split("/")[0] in run.stages and group != "anomalies/events"]


def assert_same(one: Run, other: Run) -> None:
    assert derived(one) == derived(other)
    for group in derived(one):
        xr.testing.assert_equal(one.dataset(group).load(), other.dataset(group).load())
    assert one.event_documents() == other.event_documents()


def test_analyze__gives_the_same_on_two_processes(path: Path, alone: Run, client: Client) -> None:
    before = transitions(client)
    assert_same(analyze(path, client=client), alone)
    assert transitions(client) > before


def transitions(client: Client) -> int:
    return int(client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter))


def test_analyze__on_the_active_client_a_killed_worker_costs_time_only(
    path: Path, alone: Run, client: Client
) -> None:
    before = transitions(client)
    victim = next(iter(client.run(os.getpid).values()))

    def kill() -> None:
        os.kill(victim, signal.SIGKILL)

    killer = threading.Timer(0.3, kill)
    killer.start()
    try:
        run = analyze(path, stages=["index"])  # on the active client
    finally:
        killer.join()
    assert transitions(client) > before
    assert victim not in client.run(os.getpid).values()
    assert_same(run, alone)


def test_source__is_pickled_as_an_address(alone: Run) -> None:
    import pickle

    from deeptracker.aggregate import Source

    source = Source(alone, "filters/dense")
    assert source.dataset.sizes["iteration"] == 310
    packed = pickle.dumps(source)
    assert len(packed) < 50_000
    copy = pickle.loads(packed)
    np.testing.assert_array_equal(copy.read("w_norm2", 3, 9), source.read("w_norm2", 3, 9))
    assert windows(copy, "iteration") == windows(source, "iteration")
