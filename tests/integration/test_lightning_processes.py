"""Lightning with two processes: its own file, since each of them has to load the libraries first."""

from __future__ import annotations

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import deeptracker as dt
from deeptracker.integrations.lightning import DeepTrackerCallback

# What Lightning says about a training as small as this (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")


def data(images: int, seed: int) -> TensorDataset:
    draw = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(images, 6, generator=draw), torch.randint(0, 3, (images,), generator=draw))


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.net(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def by_hand():
    """The gradients that both processes average, and the answers after all updates."""
    model, (x, y) = Module().net, data(40, seed=1).tensors
    optimizer, norms = torch.optim.SGD(model.parameters(), lr=0.1), []
    # The sampler that Lightning puts in, which shuffles whatever the loader does.
    shares = [list(DistributedSampler(x, num_replicas=2, rank=rank, shuffle=True, seed=0)) for rank in (0, 1)]
    for first in range(0, 20, 4):
        images = [image for share in shares for image in share[first : first + 4]]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[images]), y[images]).backward()
        norms.append(model[0].weight.grad.norm(dim=1).numpy().copy())
        optimizer.step()
    return norms, model(data(12, seed=2).tensors[0]).argmax(1)


def test_two_processes__give_one_run_with_the_answers_of_both(tmp_path) -> None:
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp_spawn", default_root_dir=tmp_path, logger=False, max_epochs=1,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[DeepTrackerCallback(tmp_path / "run", every=1)],
    )  # fmt: skip
    trainer.fit(
        Module(),
        DataLoader(data(40, seed=1), batch_size=4),
        DataLoader(data(12, seed=2), batch_size=4),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    run, (norms, answers) = dt.open_run(tmp_path / "run"), by_hand()
    assert run.filters.iteration.values.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(run.filters.g_norm2.sel(layer="0"), norms, rtol=1e-4)
    last = run.validation.isel(validation=-1).sel(image=np.arange(12))
    np.testing.assert_array_equal(last.predicted, answers)
    np.testing.assert_array_equal(run.images.target.sel(image=np.arange(12)), data(12, seed=2).tensors[1])
