"""Lightning's validation: the answers of the passes that are made anyway."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning_training import WARNINGS, Module, data, fit, nothing, returned
from torch import nn
from torch.utils.data import DataLoader

import deeptracker as dt
from deeptracker.integrations.lightning import DeepTrackerCallback

pytestmark = WARNINGS


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
