"""What the tests of Lightning share: a small training as people write it, in either namespace of the library."""

from __future__ import annotations

import lightning.pytorch as lightning
import pytest
import pytorch_lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

# What Lightning says about trainings as small as these (2026-11).
WARNINGS = [
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


class Seed(lightning.Callback):
    """The same random numbers as the loop by hand: fit draws some before its first batch."""

    def on_train_start(self, trainer, pl_module) -> None:
        torch.manual_seed(5)
