"""Sharded parameters: all ranks take part in reading them, and the numbers are those of whole ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import RANKS, STEPS, batch, by_hand, images, launch, net, sgd, train
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

import deeptracker as dt
from deeptracker.errors import InputError

fsdp = pytest.importorskip("torch.distributed.fsdp", reason="this torch has no FSDP")
EVERYTHING: dict[str, Any] = {
    "every": 1, "full_every": 2, "raw": ".", "raw_every": 2, "probe": batch(9, 0)[0], "probe_every": 2,
    "strict": True,
}  # fmt: skip


def sharded() -> torch.nn.Module:
    model, mesh = net(), init_device_mesh("cpu", (RANKS,))
    for part in (*model, model):
        if list(part.parameters()):
            fsdp.fully_shard(part, mesh=mesh)
    return model


class Swapped(torch.nn.Module):
    """Runs its layers in the order of registration or against it."""

    def __init__(self, names: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.names = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), names

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x


def resumed(folder: Path) -> list[list[float]]:
    """The run has the layers in another order than the session that resumes it: only rank 0 knows that."""
    truth = []
    for session, names in enumerate(("ba", "ab")):
        model = Swapped(names)
        for part in (model.a, model.b, model):
            fsdp.fully_shard(part, mesh=init_device_mesh("cpu", (RANKS,)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        options = {"every": 1, "full_every": 1, "raw": ".", "raw_every": 1, "strict": True}
        with dt.Recorder(folder / "swapped", model, optimizer=optimizer, **options) as recorder:
            model(torch.ones(2, 4)).sum().backward()
            optimizer.step()
            recorder.step(session)
        truth.append([float(layer.weight.full_tensor().detach().norm()) for layer in (model.a, model.b)])
    return truth


def work(rank: int, folder: Path) -> dict[str, Any]:
    """What every rank does: three steps, a stop, one more step."""
    said: dict[str, Any] = {}
    model = sharded()
    optimizer = sgd(model)
    for steps in (range(STEPS - 1), range(STEPS - 1, STEPS)):
        with dt.Recorder(folder / "run", model, optimizer=optimizer, **EVERYTHING) as recorder:
            train(model, optimizer, recorder, steps)
            recorder.validate(steps[-1], DataLoader(images(), batch_size=4), name="plain")
            loader = DataLoader(images(), batch_size=4, sampler=DistributedSampler(images(), shuffle=False))
            recorder.validate(steps[-1], loader)
    try:
        dt.Recorder(folder / "other", model, max_overhead=0.01)
    except InputError as error:
        said["overhead"] = str(error)
    said["swapped"] = resumed(folder)
    said["held"] = type(recorder._snapshots._measurer).__name__
    distributed.barrier()
    said["folders"] = sorted(path.name for path in folder.glob("*") if path.is_dir())
    return said


def test_fsdp2__statistics_are_those_of_an_unsharded_training(tmp_path) -> None:
    first, second = launch(work, tmp_path)
    assert first["folders"] == second["folders"] == ["run", "swapped"]
    swapped = dt.open_run(tmp_path / "swapped")
    assert swapped.architecture.layer.values.tolist() == ["b", "a"]
    np.testing.assert_allclose(swapped.layers.w_norm2.sel(layer=["a", "b"]), first["swapped"], rtol=1e-6)
    assert (first["held"], second["held"]) == ("Measurer", "Follower")
    assert "max_overhead" in first["overhead"]
    run = dt.open_run(tmp_path / "run")

    model = net()
    optimizer = sgd(model)
    true = by_hand(model, optimizer)
    gradients = []
    for steps in (range(STEPS - 1), range(STEPS - 1, STEPS)):
        with dt.Recorder(tmp_path / "whole", model, optimizer=optimizer, **EVERYTHING) as recorder:
            if not steps[0]:
                model.eval()(batch(0, 0)[0])  # the first pass tells the order of the layers
                model.train()
            for step in steps:
                gradients.append(next(true))
                recorder.step(step)
    whole = dt.open_run(tmp_path / "whole")
    for step, gradient in enumerate(gradients):
        norms = gradient["6.weight"].norm(dim=1)
        np.testing.assert_allclose(run.filters.g_norm2.sel(iteration=step, layer="6"), norms, rtol=1e-4)
    assert set(whole.groups) <= set(run.groups)
    for group in whole.groups:
        if group == "scalars":
            continue
        mine, theirs = run.dataset(group), whole.dataset(group)
        for name in theirs.data_vars:
            if theirs[name].dtype.kind in "fiu" and not name.startswith("bn_running"):
                np.testing.assert_allclose(mine[name], theirs[name], rtol=2e-3, atol=2e-5, err_msg=f"{group}/{name}")
    assert (run.dataset("validation/validation/raw").predicted.values >= 0).all()
    np.testing.assert_array_equal(
        run.dataset("validation/validation/raw").predicted, run.dataset("validation/plain/raw").predicted
    )
