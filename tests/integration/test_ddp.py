"""Several processes, one run: who writes, what is recorded, and that nobody waits for ever."""

from __future__ import annotations

import os
import time
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import IMAGES, STEPS, batch, by_hand, images, launch, net, sgd, train
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

import deeptracker as dt
from deeptracker.errors import InputError
from deeptracker.record import ranks


def shared_loader(**options: Any) -> DataLoader[Any]:
    return DataLoader(images(), batch_size=4, sampler=DistributedSampler(images(), shuffle=False, **options))


def ddp(rank: int, folder: Path) -> dict[str, Any]:
    """What every rank of a DDP training does; one recorder after the other."""
    said: dict[str, Any] = {"losses": []}
    for recorded in (False, True):
        model = DistributedDataParallel(net())
        optimizer = sgd(model)
        losses: list[float] = []

        class Listener:
            recorder: Any = None

            def step(self, step: int, loss: torch.Tensor, losses: list[float] = losses) -> None:
                losses.append(loss.item())
                if self.recorder is not None:
                    self.recorder.step(step, loss=loss)

        listener = Listener()
        if recorded:
            listener.recorder = recorder = dt.Recorder(
                folder / "run", model, optimizer=optimizer, every=1, probe=batch(9, 0)[0], probe_every=2, strict=True
            )
            said["hooks"] = sum(len(module._forward_hooks) for module in model.modules())
        train(model, optimizer, listener)
        said["losses"].append(losses)
    recorder.validate(STEPS, shared_loader())
    mine = np.arange(rank, IMAGES, 2)
    answers = {"predicted": mine % 3, "loss": mine / 8, "target": np.full(len(mine), rank), "ids": mine}
    recorder.validation(STEPS, name="given", **answers)
    recorder.validate(STEPS, DataLoader(images(), batch_size=4), name="plain")
    said["unclear"] = ""
    try:
        recorder.validation(STEPS, name="unclear", predicted=[rank, rank])
    except InputError as error:
        said["unclear"] = str(error)
    said["parameters"] = float(model.module[0].weight.detach().norm())
    recorder.close()
    said["folders"] = sorted(path.name for path in folder.glob("run*"))
    distributed.barrier()
    return said | alone(rank, folder)


def alone(rank: int, folder: Path) -> dict[str, Any]:
    """Rank 0 validates and the other does not, although it has a recorder."""
    ranks.WAIT_SECONDS = 1.0
    spent, text = [], StringIO()
    with dt.Recorder(folder / "alone", DistributedDataParallel(net()), strict=True) as recorder:
        distributed.barrier()
        with redirect_stderr(text):
            for step in range(2):
                began = time.perf_counter()
                if rank == 0:
                    recorder.validate(step, shared_loader())
                spent.append(time.perf_counter() - began)
    distributed.barrier()
    return {"alone": text.getvalue(), "spent": spent}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("ddp")
    return folder, launch(ddp, folder)


def test_ddp__is_one_run_and_the_other_ranks_measure_nothing(outcome) -> None:
    _, (first, second) = outcome
    assert first["folders"] == second["folders"] == ["run"]
    assert first["hooks"] > 0
    assert second["hooks"] == 0
    for said in (first, second):
        assert said["losses"][0] == said["losses"][1], "bit for bit with and without"


def test_ddp__gradients_are_the_average_over_ranks(outcome) -> None:
    folder, (first, _) = outcome
    run = dt.open_run(folder / "run")
    assert run.architecture.layer.values.tolist() == ["0", "3", "6"]
    model = net()
    for step, gradients in enumerate(by_hand(model, sgd(model))):
        row = run.filters.sel(iteration=step)
        for name in ("0", "6"):
            true = gradients[f"{name}.weight"].flatten(1)
            np.testing.assert_allclose(row.g_norm2.sel(layer=name), true.norm(dim=1), rtol=1e-4)
        np.testing.assert_allclose(row.bn_running_var.sel(layer="0"), model[1].running_var, rtol=1e-4)
    assert first["parameters"] == pytest.approx(float(model[0].weight.detach().norm()), rel=1e-5)
    np.testing.assert_allclose(run.scalars.loss, first["losses"][0])


def test_ddp__validation_is_gathered_from_all_ranks(outcome) -> None:
    """By a sampler, every image once although one is given twice; a plain loader, every image anyway."""
    folder, _ = outcome
    run = dt.open_run(folder / "run")
    model = net()
    for _ in by_hand(model, sgd(model)):
        pass
    model.eval()
    x, y = images().tensors
    logits = model(x)
    for name in ("validation", "plain"):
        row, table = run.dataset(f"validation/{name}/raw").isel(validation=0), run.dataset(f"images/{name}")
        order = table.position.values
        assert sorted(order) == list(range(IMAGES))
        np.testing.assert_array_equal(row.predicted, logits.argmax(1).numpy()[order])
        np.testing.assert_array_equal(table.target, y.numpy()[order])
        expected = nn.functional.cross_entropy(logits, y, reduction="none").detach().numpy()[order]
        np.testing.assert_allclose(row.loss, expected, rtol=2e-3, atol=1e-3)


def test_ddp__answers_with_ids_are_merged_and_those_without_are_refused(outcome) -> None:
    folder, (first, second) = outcome
    run = dt.open_run(folder / "run")
    row = run.dataset("validation/given/raw").isel(validation=0)
    np.testing.assert_array_equal(row.predicted.sel(image=range(IMAGES)), np.arange(IMAGES) % 3)
    np.testing.assert_allclose(row.loss.sel(image=range(IMAGES)), np.arange(IMAGES) / 8)
    assert run.dataset("images/given").target.sel(image=5) == 1, "of rank 1"
    assert "ids=" in first["unclear"]
    assert second["unclear"] == ""


def test_ddp__rank_0_waits_once_for_ranks_that_do_not_validate(outcome) -> None:
    folder, (first, _) = outcome
    assert 1.0 <= first["spent"][0] < 10
    assert first["spent"][1] < 1.0
    assert first["alone"].count("no answers came from rank 1") == 1
    row = dt.open_run(folder / "alone").validation.isel(validation=0)
    assert (row.predicted.values >= 0).sum() == 7, "its own part"


def dying(rank: int, folder: Path) -> dict[str, Any]:
    """Rank 1 dies after it has made its recorder."""
    ranks.WAIT_SECONDS = 2.0
    recorder = dt.Recorder(folder / "run", net(), strict=True)
    distributed.barrier()
    if rank:
        os._exit(9)
    began = time.perf_counter()
    recorder.validate(0, shared_loader())
    spent = time.perf_counter() - began
    recorder.close()
    return {"spent": spent}


def test_dead_rank__does_not_hang_the_others(tmp_path) -> None:
    first, second = launch(dying, tmp_path, may_die=True)
    assert second == {}
    assert first["spent"] < 15
    assert (dt.open_run(tmp_path / "run").validation.predicted.values >= 0).sum() == 7
