"""Recording straight to a bucket: a kill, a server that goes away, and many runs at night."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import deeptracker as dt
from deeptracker.store import list_runs, open_run, place_of, verify
from deeptracker.testing import simulate
from soak.endless import check, recording

ROOT = Path(__file__).parents[2]


def test_kill__leaves_every_committed_row_and_recording_resumes_at_once(buckets: Any) -> None:
    path, rows = "s3://runs/killed/run", 0
    for round_ in range(3):
        with recording(path, flush_secs=0.05) as (child, start):
            assert start == rows
            assert child.stdout is not None
            said = [child.stdout.readline() for _ in range(3 + 6 * round_)]
            child.send_signal(signal.SIGKILL)
        reported = int(said[-1].split()[1])
        rows = check(path, reported)
        assert rows > reported
        assert list_runs("s3://runs/killed")["state"].tolist() == ["interrupted"]
    assert verify(path) == []


def losses(path: str | None, steps: int, meanwhile: Any = None) -> list[float]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = None if path is None else dt.Recorder(path, model, optimizer=optimizer, every=1, flush_secs=0.05)
    generator, out = torch.Generator().manual_seed(1), []
    for step in range(steps):
        x = torch.randn(8, 6, generator=generator)
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out.append(loss.item())
        if recorder is not None:
            recorder.step(step, loss=loss)
            meanwhile(step, recorder)
    if recorder is not None:
        recorder.close()
    return out


def test_server_that_stops__ends_no_training_is_said_once_and_loses_nothing_committed(
    buckets: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deeptracker.store.objects._TRIES", 1)

    def stop(step: int, recorder: dt.Recorder) -> None:
        if step == 20:
            recorder.flush()
            buckets.stop()

    try:
        recorded = losses("s3://runs/stopped/run", 40, stop)
    finally:
        buckets.start()
    assert recorded == losses(None, 40)
    told = capsys.readouterr().err
    assert told.count("recording failed, the training goes on") == 1
    assert "no answer from 127.0.0.1" in told
    run = open_run("s3://runs/stopped/run")
    assert run.scalars["iteration"].values.tolist()[:21] == list(range(21))
    np.testing.assert_allclose(run.scalars["loss"].values[:21], recorded[:21], rtol=1e-6)
    assert run.dataset("filters/dense").sizes["iteration"] >= 21
    assert verify(run.path) == []


def test_server_that_comes_back__gets_the_rows_of_the_meantime(buckets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeptracker.store.objects._TRIES", 1)

    def pause(step: int, recorder: dt.Recorder) -> None:
        if step == 10:
            recorder.flush()
            buckets.stop()
        if step == 20:
            buckets.start()

    losses("s3://runs/paused/run", 40, pause)
    run = open_run("s3://runs/paused/run")
    positions = run.scalars["iteration"].values.tolist()
    assert positions[:10] == list(range(10))
    assert positions[-15:] == list(range(25, 40))
    assert run.commit.closed


def test_nightly__takes_a_bucket_and_writes_its_table_there(buckets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("nightly", ROOT / "workflows" / "nightly.py")
    assert spec is not None
    assert spec.loader is not None
    nightly = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nightly)
    simulate("s3://runs/night/one", model="tiny", iterations=40, images=0, passes=0)
    broken = place_of("s3://runs/night/three/commit.json")
    broken.put(b"{}")
    assert nightly.main(["s3://runs/night"]) == 1
    told = capsys.readouterr()
    assert "1 of 2 runs analysed; table: s3://runs/night/nightly.csv" in told.out
    table = pd.read_csv(io.BytesIO(place_of("s3://runs/night/nightly.csv").read_bytes())).set_index("name")
    assert table["failure"].isna().to_dict() == {"one": True, "three": False}
    assert open_run("s3://runs/night/one").stages.keys() >= {"index", "anomalies"}
    assert os.path.exists("s3:") is False  # nothing went to a folder of that name
