"""What belongs to the row of an iteration: gradients that a closure computes, scalars that come after ``step``."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import deeptracker as dt
from deeptracker.errors import InputError
from deeptracker.store import LogWriter


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize("keyword", [False, True])
def test_closure__gradients_are_those_it_computed(tmp_path, keyword: bool) -> None:
    model, x = net(), torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    norms = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        norms.append(model[0].weight.grad.norm(dim=1).numpy().copy())
        return loss

    with dt.Recorder(tmp_path / "run", model, optimizer=optimizer, every=1, strict=True) as recorder:
        for step in range(3):
            loss = optimizer.step(closure=closure) if keyword else optimizer.step(closure)
            optimizer.zero_grad()
            recorder.step(step, loss=loss)
    recorded = dt.open_run(tmp_path / "run").filters.g_norm2.sel(layer="0").values
    np.testing.assert_allclose(recorded, norms, rtol=1e-5)


def test_closure__called_several_times_gives_the_gradient_at_the_weights_before_the_step(tmp_path) -> None:
    model, x = net(), torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    norms = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        norms[-1].append(model[0].weight.grad.norm(dim=1).numpy().copy())
        return loss

    with dt.Recorder(tmp_path / "run", model, optimizer=optimizer, every=1, strict=True) as recorder:
        for step in range(2):
            norms.append([])
            optimizer.step(closure)
            recorder.step(step)
    assert len(norms[0]) > 1
    recorded = dt.open_run(tmp_path / "run").filters.g_norm2.sel(layer="0").values
    np.testing.assert_allclose(recorded, [calls[0] for calls in norms], rtol=1e-5)
    assert dt.open_run(tmp_path / "run").scalars.step_skipped.values.tolist() == [0, 0]


def test_log__takes_scalars_of_the_last_step_until_the_next_one(tmp_path) -> None:
    with dt.Recorder(tmp_path / "run", net(), every=1, strict=True) as recorder:
        recorder.step(0)
        recorder.log(0, accuracy=0.5, loss=torch.tensor(2.0))
        recorder.step(1, loss=3.0)
        with pytest.raises(InputError, match="'loss'"):
            recorder.log(1, loss=4.0)
        with pytest.raises(InputError, match="step 0 has its row"):
            recorder.log(0, accuracy=0.6)
        recorder.log(1, accuracy=0.75)
        recorder.flush()
        with pytest.raises(InputError, match="step 1 has its row"):
            recorder.log(1, accuracy=0.8)
    scalars = dt.open_run(tmp_path / "run").scalars
    assert scalars.loss.values.tolist() == [2, 3]
    assert scalars.accuracy.values.tolist() == [0.5, 0.75]


def test_log__a_name_that_cannot_be_stored_costs_no_row(tmp_path) -> None:
    with dt.Recorder(tmp_path / "run", net(), every=1, strict=True) as recorder:
        recorder.step(0, loss=1.0)
        with pytest.raises(InputError, match="'train/loss' cannot name a scalar"):
            recorder.log(0, **{"train/loss": 1.0})
    assert dt.open_run(tmp_path / "run").scalars.loss.values.tolist() == [1]


def test_describe__keeps_settings_as_an_attribute(tmp_path) -> None:
    with dt.Recorder(tmp_path / "run", net(), every=1, strict=True) as recorder:
        recorder.describe(batch_size=32, optimizer="SGD")
        recorder.step(0)
    assert dt.open_run(tmp_path / "run").attributes["config"] == {"batch_size": 32, "optimizer": "SGD"}


def test_last_step__is_kept_when_the_training_ends_without_close(tmp_path) -> None:
    program = """
import sys, torch, deeptracker as dt
recorder = dt.Recorder(sys.argv[1], torch.nn.Linear(2, 3), every=1)
recorder.step(0)
recorder.step(1)
raise KeyError("the user's")
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith('KeyError: "the user\'s"')
    assert dt.open_run(tmp_path / "run").filters.iteration.values.tolist() == [0, 1]


def test_resume__drops_what_a_kill_left_ahead_of_the_scalars(tmp_path) -> None:
    with dt.Recorder(tmp_path / "run", net(), every=1, strict=True) as recorder:
        recorder.step(0)
        recorder.step(1)
    filters = dt.open_run(tmp_path / "run").filters.isel(iteration=1).load()
    with LogWriter(tmp_path / "run") as writer:  # as if it was killed between two groups of step 2
        writer.coordinates("filters/dense", {})
        writer.append("filters/dense", 2, {name: filters[name].values for name in filters.data_vars})
    with dt.Recorder(tmp_path / "run", net(), every=1, strict=True) as recorder:
        recorder.step(2)
    assert dt.open_run(tmp_path / "run").filters.iteration.values.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["c", "z"])
def test_resume__writes_the_images_again_only_where_they_are_others(tmp_path, name: str) -> None:
    target = np.arange(6) % 3
    pictures = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
    versions = []
    for session, last in enumerate(("c", name)):
        with dt.Recorder(tmp_path / "run", net(), every=1, strict=True) as recorder:
            recorder.images(target=target, classes=["a", "b", last], thumbnails=pictures)
            recorder.step(session)
            recorder.validation(session, predicted=target)
        versions.append(dt.open_run(tmp_path / "run").commit.tables["images/validation"])
    assert (versions[0] == versions[1]) == (name == "c")
    assert dt.open_run(tmp_path / "run").dataset("images/validation")["class"].values.tolist() == ["a", "b", name]


def test_kill_before_the_first_scalars__is_resumed_from_the_start(tmp_path):
    with LogWriter(tmp_path / "run", background=False) as writer:
        values = {"predicted": np.int16, "correct": np.int8, "loss": np.float16}
        writer.append("validation/validation/raw", 0, {name: np.zeros(3, kind) for name, kind in values.items()})
    model = torch.nn.Linear(4, 2)
    with dt.Recorder(tmp_path / "run", model, every=1, strict=True) as recorder:
        recorder.images(target=[0, 1, 1])
        recorder.step(0, loss=1.0)
        recorder.validation(0, predicted=[0, 1, 0])
    run = dt.open_run(tmp_path / "run")
    assert run.validation["predicted"].values.tolist() == [[0, 1, 0]]
    assert run.scalars["iteration"].values.tolist() == [0]
