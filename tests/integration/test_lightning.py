"""Lightning: real trainings with the real library, against loops written by hand."""

from __future__ import annotations

import subprocess
import sys

import lightning.pytorch as lightning
import numpy as np
import pytest
import pytorch_lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning_training import WARNINGS, Module, OldModule, Seed, data, fit, net
from torch import nn
from torch.utils.data import DataLoader

import deeptracker as dt
from deeptracker.integrations.lightning import DeepTrackerCallback, DeepTrackerLogger

pytestmark = WARNINGS


def by_hand(accumulate: int, clip: float, precision=None):
    """Gradient norms of the first layer and the loss of each update, in a loop without Lightning."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    norms, losses, batches = [], [0.0], list(DataLoader(data(10, seed=1), batch_size=4))
    torch.manual_seed(5)
    for number, (x, y) in enumerate(batches, 1):
        with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
            loss = nn.functional.cross_entropy(model(x), y) / accumulate
        loss.backward()
        losses[-1] += loss.item()
        if number % accumulate == 0 or number == len(batches):
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            norms.append(model[0].weight.grad.norm(dim=1).numpy().copy())
            optimizer.step()
            optimizer.zero_grad()
            losses.append(0.0)
    return norms, losses[:-1]


@pytest.mark.parametrize(("accumulate", "updates"), [(1, 10), (3, 4)])
def test_records__are_the_updates_with_the_gradients_that_the_optimizer_receives(
    tmp_path, accumulate: int, updates: int
) -> None:
    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    fit(tmp_path, Module(), [callback, Seed()], accumulate_grad_batches=accumulate, gradient_clip_val=0.3)
    norms, losses = by_hand(accumulate, 0.3)
    run = dt.open_run(tmp_path / "run")
    assert run.filters.iteration.values.tolist() == list(range(1, updates + 1))
    assert run.architecture.layer.values.tolist() == ["0", "4"], "names within the network"
    np.testing.assert_allclose(run.filters.g_norm2.sel(layer="0"), norms, rtol=1e-4)
    np.testing.assert_allclose(run.scalars.loss, losses, rtol=1e-5)
    assert run.scalars.step_skipped.values.tolist() == [0] * updates
    assert (run.scalars.learning_rate == 0.1).all()


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_records__of_mixed_precision(tmp_path, precision: str) -> None:
    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    fit(tmp_path, Module(), [callback, Seed()], precision=precision, gradient_clip_val=0.3)
    norms, losses = by_hand(1, 0.3, torch.bfloat16)  # on the processor Lightning takes it for both
    run = dt.open_run(tmp_path / "run")
    np.testing.assert_allclose(run.filters.g_norm2.sel(layer="0"), norms, rtol=1e-4)
    np.testing.assert_allclose(run.scalars.loss, losses, rtol=1e-5)


def test_training__is_the_same_bit_for_bit_with_and_without(tmp_path) -> None:
    results = []
    for recorded in (False, True):
        module = Module()
        callbacks = [DeepTrackerCallback(tmp_path / "run", every=1, full_every=2, strict=True)] if recorded else []
        fit(tmp_path, module, [*callbacks, Seed()], validate=data(3, seed=2), val_check_interval=5)
        results.append((module.losses, {name: value.clone() for name, value in module.state_dict().items()}))
    (losses_a, state_a), (losses_b, state_b) = results
    assert losses_a == losses_b
    assert len(losses_a) == 10
    assert all(torch.equal(state_a[name], state_b[name]) for name in state_a)


def test_resume__from_a_checkpoint_goes_on_in_the_run_it_was_made_in(tmp_path) -> None:
    fit(tmp_path, Module(), [DeepTrackerCallback(every=1, strict=True)], batches=2)  # another training in that place
    for steps, checkpoint in ((6, None), (8, tmp_path / "kept" / "step=4.ckpt")):
        keep = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=4, save_top_k=-1, filename="{step}")
        callback = DeepTrackerCallback(every=1, strict=True)
        fit(tmp_path, Module(), [callback, keep], ckpt_path=checkpoint, max_steps=steps, enable_checkpointing=True)
    first, second = (dt.open_run(tmp_path / name) for name in ("deeptracker", "deeptracker-2"))
    assert first.filters.iteration.values.tolist() == [1, 2]
    assert second.filters.iteration.values.tolist() == list(range(1, 9))
    assert np.isnan(second.filters.update_norm2.sel(iteration=5)).all(), "the record after the checkpoint is new"
    assert not (tmp_path / "deeptracker-3").exists()


def test_exception__leaves_a_run_that_opens_and_is_free(tmp_path) -> None:
    class Failing(Module):
        def training_step(self, batch, batch_idx):
            if batch_idx == 3:
                raise KeyError("the user's own")
            return super().training_step(batch, batch_idx)

    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    with pytest.raises(KeyError, match="the user's own"):
        fit(tmp_path, Failing(), [callback])
    assert callback.recorder is None
    assert dt.open_run(tmp_path / "run").filters.iteration.values.tolist() == [1, 2, 3]
    with dt.Recorder(tmp_path / "run", net()):
        pass


def test_logger__takes_scalars_and_hyperparameters_into_the_run(tmp_path) -> None:
    class Settings(Module):
        def __init__(self, width: int = 8, kind: str = "plain") -> None:
            super().__init__()
            self.save_hyperparameters()

    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    module = Settings()
    fit(tmp_path, module, [callback], logger=DeepTrackerLogger(), log_every_n_steps=2, validate=data(3, seed=2))
    run = dt.open_run(tmp_path / "run")
    assert run.attributes["config"] == {"width": 8, "kind": "plain"}
    logged = run.scalars.train_loss
    np.testing.assert_allclose(logged.sel(iteration=[2, 4, 6, 8, 10]), module.losses[1::2], rtol=1e-6)
    assert np.isnan(logged.sel(iteration=[1, 3, 5, 7, 9])).all()
    correct = run.validation.correct.isel(validation=0).mean()
    np.testing.assert_allclose(run.scalars.accuracy.sel(iteration=10), correct, rtol=1e-6)


def test_manual_optimization__has_a_record_for_each_batch_that_stepped(tmp_path) -> None:
    class Two(Module):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.norms: list[list[float]] = []

        def training_step(self, batch, batch_idx):
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            for optimizer in self.optimizers():
                optimizer.zero_grad()
            self.manual_backward(loss)
            self.norms.append([self.net[place].weight.grad.norm().item() for place in (0, 4)])
            for optimizer in self.optimizers():
                optimizer.step()
            return loss

        def configure_optimizers(self):
            return [torch.optim.SGD(self.net[0].parameters(), lr=0.1), torch.optim.Adam(self.net[4].parameters())]

    module = Two()
    fit(tmp_path, module, [DeepTrackerCallback(tmp_path / "run", every=2, strict=True)], batches=3)
    run = dt.open_run(tmp_path / "run")
    assert run.layers.iteration.values.tolist() == [2, 4, 6], "Lightning counts both optimizers"
    np.testing.assert_allclose(run.layers.g_norm2, module.norms, rtol=1e-5)


def test_namespaces__pytorch_lightning_takes_the_same_callback(tmp_path) -> None:
    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    assert isinstance(callback, pytorch_lightning.Callback)
    assert isinstance(callback, lightning.Callback)
    fit(tmp_path, OldModule(), [callback], library=pytorch_lightning, logger=DeepTrackerLogger(), log_every_n_steps=1)
    run = dt.open_run(tmp_path / "run")
    assert run.filters.iteration.values.tolist() == list(range(1, 11))
    assert "train_loss" in run.scalars


def test_unknown_option__is_said_before_the_training_starts() -> None:
    with pytest.raises(dt.errors.InputError, match="'evry' is no option of a recorder"):
        DeepTrackerCallback(evry=1)


def test_absent_library__is_named_with_what_installs_it() -> None:
    program = """
import importlib, sys
sys.modules.update(lightning=None, pytorch_lightning=None, transformers=None, accelerate=None)
for name in ("lightning", "huggingface", "accelerate"):
    try:
        importlib.import_module(f"deeptracker.integrations.{name}")
    except ImportError as error:
        print(f"{type(error).__name__}: {error}")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"MissingExtraError: deeptracker.integrations.{name} needs {package}: pip install {package}"
        for name, package in {
            "lightning": "lightning",
            "huggingface": "transformers",
            "accelerate": "accelerate",
        }.items()
    ]
