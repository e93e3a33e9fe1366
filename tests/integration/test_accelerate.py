"""accelerate: real loops with the real library, against loops without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, register_tracker_class
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import deeptracker as dt
from deeptracker.integrations.accelerate import DeepTrackerTracker


@pytest.fixture(autouse=True)
def _fresh():
    """accelerate keeps its state for the whole process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def data() -> TensorDataset:
    draw = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(40, 6, generator=draw), torch.randint(0, 3, (40,), generator=draw))


def loop(accelerator: Accelerator, model, optimizer, loader, batches: int = 10) -> list[float]:
    """The loop of the accelerate documentation; losses of the batches."""
    losses = []
    for number, (x, y) in enumerate(loader):
        if number == batches:
            break
        torch.manual_seed(number)
        with accelerator.accumulate(model):
            loss = nn.functional.cross_entropy(model(x), y)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 0.3)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        accelerator.log({"train/loss": loss.detach(), "batch": number, "text": "left out"}, step=number)
    return losses


def train(tracker, tmp_path, accumulate: int = 1, before=lambda *_: None, **options) -> list[float]:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate, log_with=tracker, **options)
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(data(), batch_size=4))
    accelerator.init_trackers("mine", config={"lr": 0.1})
    before(accelerator, model, optimizer)
    losses = loop(accelerator, model, optimizer, loader)
    accelerator.end_training()
    return losses


def by_hand(accumulate: int):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    norms, batches = [], list(DataLoader(data(), batch_size=4))
    for number, (x, y) in enumerate(batches, 1):
        torch.manual_seed(number - 1)
        (nn.functional.cross_entropy(model(x), y) / accumulate).backward()
        if number % accumulate == 0 or number == len(batches):
            nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            norms.append(model[0].weight.grad.norm(dim=1).numpy().copy())
            optimizer.step()
            optimizer.zero_grad()
    return norms


@pytest.mark.parametrize(("accumulate", "updates"), [(1, 10), (3, 4)])
def test_records__are_the_updates_and_the_losses_stay_the_same(tmp_path, accumulate: int, updates: int) -> None:
    tracker = DeepTrackerTracker(tmp_path / "run", every=1, strict=True)
    losses = train(tracker, tmp_path, accumulate, lambda _, model, optimizer: tracker.watch(model, optimizer))
    assert losses == train(None, tmp_path, accumulate), "bit for bit"
    run = dt.open_run(tmp_path / "run")
    assert run.filters.iteration.values.tolist() == list(range(1, updates + 1))
    np.testing.assert_allclose(run.filters.g_norm2.sel(layer="0"), by_hand(accumulate), rtol=1e-4)
    ends = {1: list(range(10)), 3: [2, 5, 8, 9]}[accumulate]  # the batch after which the optimizer stepped
    logged = {1: ends, 3: [4, 7, 8, 9]}[accumulate]  # the last one before it stepped again
    np.testing.assert_allclose(run.scalars.loss, np.array(losses)[ends], rtol=1e-6)
    np.testing.assert_allclose(run.scalars.train_loss, np.array(losses)[logged], rtol=1e-6)
    np.testing.assert_array_equal(run.scalars.batch, logged)
    assert "text" not in run.scalars
    assert run.attributes["config"] == {"lr": 0.1}


def test_mixed_precision__is_recorded(tmp_path) -> None:
    tracker = DeepTrackerTracker(tmp_path / "run", every=1, strict=True)
    train(tracker, tmp_path, 1, lambda _, model, optimizer: tracker.watch(model, optimizer), mixed_precision="bf16")
    run = dt.open_run(tmp_path / "run")
    assert run.filters.iteration.values.tolist() == list(range(1, 11))
    assert np.isfinite(run.filters.g_norm2).all()


def test_register__lets_log_with_name_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(LOGGER_TYPE_TO_CLASS, "deeptracker", raising=False)
    register_tracker_class(DeepTrackerTracker)
    accelerator = Accelerator(cpu=True, log_with="deeptracker")
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(data(), batch_size=4))
    given = {"model": model, "optimizer": optimizer, "every": 2, "strict": True}
    accelerator.init_trackers("mine", init_kwargs={"deeptracker": given})
    loop(accelerator, model, optimizer, loader)
    tracker = accelerator.get_tracker("deeptracker")
    valid = DataLoader(data(), batch_size=8)
    accelerator.get_tracker("deeptracker", unwrap=True).validate(tracker.steps, valid)
    accelerator.end_training()
    run = dt.open_run(tmp_path / "runs" / "mine")
    assert run.filters.iteration.values.tolist() == [2, 4, 6, 8, 10]
    assert run.validation.validation.values.tolist() == [10]


def test_checkpoint__lets_a_resumed_training_count_on(tmp_path) -> None:
    for session in ("first", "again"):
        tracker = DeepTrackerTracker(tmp_path / "run", every=1, strict=True)
        accelerator = Accelerator(cpu=True, log_with=tracker)
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(data(), batch_size=4))
        accelerator.register_for_checkpointing(tracker)
        accelerator.init_trackers("mine")
        tracker.watch(model, optimizer)
        if session == "again":
            accelerator.load_state(str(tmp_path / "checkpoint"))
        loop(accelerator, model, optimizer, loader, batches=3)
        if session == "first":
            accelerator.save_state(str(tmp_path / "checkpoint"))
            loop(accelerator, model, optimizer, loader, batches=2)
        accelerator.end_training()
    filters = dt.open_run(tmp_path / "run").filters
    assert filters.iteration.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.isnan(filters.update_norm2.sel(iteration=4)).all(), "the record after the checkpoint is new"


def test_watch__without_an_optimizer_is_refused(tmp_path) -> None:
    with pytest.raises(dt.errors.InputError, match="counts the steps of the optimizer"):
        DeepTrackerTracker(tmp_path / "run").watch(net(), None)


def test_watch__of_the_package_stays_a_function_beside_the_tracker() -> None:
    assert callable(dt.watch)
