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
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import deeptracker as dt
from deeptracker.integrations.lightning import DeepTrackerCallback, DeepTrackerLogger

# What Lightning says about trainings as small as these (2026-11).
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*AMP with fp16 is not supported on CPU:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*that ended before the epoch ended:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*shuffling enabled:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
]


def data(batches: int, seed: int) -> TensorDataset:
    draw = torch.Generator().manual_seed(seed)
    return TensorDataset(
        torch.randn(4 * batches, 6, generator=draw), torch.randint(0, 3, (4 * batches,), generator=draw)
    )


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def nothing(logits, y):
    return None


def returned(logits, y):
    return {"logits": logits, "target": y}


class Parts:
    """What people write, in either namespace: nothing in it knows of DeepTracker."""

    def __init__(self, returns=nothing) -> None:
        super().__init__()
        self.net = net()
        self.returns = returns
        self.losses: list[float] = []
        self.answers: list[tuple[int, torch.Tensor]] = []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.losses.append(loss.item())
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.log("accuracy", (logits.argmax(1) == y).float().mean())
        if not self.trainer.sanity_checking:
            self.answers.append((self.trainer.global_step, logits.argmax(1)))
        return self.returns(logits, y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class Module(Parts, lightning.LightningModule):
    pass


class OldModule(Parts, pytorch_lightning.LightningModule):
    pass


def fit(tmp_path, module, callbacks=(), library=lightning, batches=10, ckpt_path=None, validate=None, **options):
    options = {"logger": False, "enable_checkpointing": False, "max_epochs": 1, **options}
    trainer = library.Trainer(
        accelerator="cpu", devices=1, default_root_dir=tmp_path, callbacks=list(callbacks), enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip
    loader = None if validate is None else DataLoader(validate, batch_size=4)
    trainer.fit(module, DataLoader(data(batches, seed=1), batch_size=4), loader, ckpt_path=ckpt_path)
    return trainer


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


class Seed(lightning.Callback):
    """The same random numbers as the loop by hand: fit draws some before its first batch."""

    def on_train_start(self, trainer, pl_module) -> None:
        torch.manual_seed(5)


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


@pytest.mark.parametrize("returns", [nothing, returned])
def test_validation__answers_are_those_of_the_pass_that_is_made_anyway(tmp_path, returns) -> None:
    module, images = Module(returns), data(3, seed=2)
    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True, images={
        "target": images.tensors[1], "classes": ["a", "b", "c"]})  # fmt: skip
    fit(
        tmp_path,
        module,
        [callback],
        validate=images,
        val_check_interval=5,
        num_sanity_val_steps=2,
        limit_val_batches=3,
    )
    run = dt.open_run(tmp_path / "run")
    assert run.validation.validation.values.tolist() == [5, 10], "the sanity check is no pass"
    for step in (5, 10):
        expected = torch.cat([given for at, given in module.answers if at == step])
        recorded = run.validation.predicted.sel(validation=step)
        np.testing.assert_array_equal(recorded.sel(image=np.arange(12)), expected)
    assert len(module.answers) == 6, "nothing was evaluated twice"
    np.testing.assert_array_equal(run.images.target.sel(image=np.arange(12)), images.tensors[1])
    module.eval()
    x, y = images.tensors
    loss = nn.functional.cross_entropy(module(x), y, reduction="none").detach()
    np.testing.assert_allclose(run.validation.loss.isel(validation=1).sel(image=np.arange(12)), loss, rtol=2e-3)


def test_validation__of_other_tasks_and_of_shuffled_images(tmp_path, capsys) -> None:
    class Detection(Module):
        def validation_step(self, batch, batch_idx):
            ids = batch[0][:, 0].mul(1e4).to(torch.int64)
            return {"correct": (self(batch[0]).argmax(1) == batch[1]).int(), "ids": ids}

        def val_dataloader(self):
            images = data(3, seed=2)
            return [DataLoader(images, batch_size=4, shuffle=True), DataLoader(images, batch_size=4)]

    class Shuffled(Module):
        def val_dataloader(self):
            return DataLoader(data(3, seed=2), batch_size=4, shuffle=True)

    class Two(Detection):
        def validation_step(self, batch, batch_idx, dataloader_idx):
            return super().validation_step(batch, batch_idx)

    fit(tmp_path, Two(), [DeepTrackerCallback(tmp_path / "two", every=1, strict=True)])
    run = dt.open_run(tmp_path / "two")
    sets = ("validation/validation/raw", "validation/validation_1/raw")
    assert set(sets) <= set(run.groups)
    first, second = (run.dataset(name).sel(image=sorted(run.dataset(sets[0]).image.values)) for name in sets)
    np.testing.assert_array_equal(first.correct, second.correct)
    assert set(np.unique(first.correct)) == {0, 1}
    fit(tmp_path, Shuffled(), [DeepTrackerCallback(tmp_path / "shuffled", every=1, strict=True)])
    assert "validation/validation/raw" not in dt.open_run(tmp_path / "shuffled").groups
    assert "shuffles" in capsys.readouterr().err


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
