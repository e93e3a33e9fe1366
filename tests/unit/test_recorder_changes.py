"""What changes within a training: parameter groups, frozen layers, averaged weights, schedules, sessions, faults."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset, WeightedRandomSampler

import deeptracker as dt
from deeptracker.errors import InputError
from deeptracker.record.budget import CORE

RUN = Path("run")


def two_linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def batches(number: int):
    generator = torch.Generator().manual_seed(1)
    for _ in range(number):
        yield torch.randn(6, 4, generator=generator), torch.randint(0, 3, (6,), generator=generator)


def update(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def train(recorder, model, optimizer, steps) -> list[float]:
    losses = []
    for step, (x, y) in zip(steps, batches(len(steps)), strict=True):
        loss = update(model, optimizer, x, y)
        recorder.step(step, loss=loss)
        losses.append(loss.item())
    return losses


@pytest.mark.usefixtures("sinks")
def test_frozen_layer__has_no_gradient_until_it_is_unfrozen() -> None:
    model = two_linear()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    with dt.Recorder(RUN, model, optimizer=optimizer, every=1, strict=True) as recorder:
        train(recorder, model, optimizer, range(2))
        model[0].requires_grad_(True)
        optimizer.add_param_group({"params": model[0].parameters(), "lr": 0.01})
        train(recorder, model, optimizer, range(2, 4))
    layers, scalars = recorder._sink.dataset("layers/dense"), recorder._sink.dataset("scalars")
    assert np.isnan(layers.g_norm2.sel(layer="0")).values.tolist() == [True, True, False, False]
    assert (layers.update_norm2.sel(layer="0").values[1:] > 0).tolist() == [False, True, True]
    assert (layers.g_norm2.sel(layer="2") > 0).all()
    assert scalars.learning_rate.values.tolist() == [[0.1]] * 4
    assert scalars.learning_rate_1.values[2:].tolist() == [0.01, 0.01]
    assert recorder._sink.dataset("architecture").lr_group.values.tolist() == [-1, 0]


@pytest.mark.usefixtures("sinks")
@pytest.mark.parametrize("groups", [1, 3])
def test_resume_with_another_number_of_groups__keeps_every_rate(groups: int) -> None:
    model = two_linear()
    for session, count in enumerate((2, groups)):
        parameters = [[model[0].weight], [model[2].weight], [model[0].bias, model[2].bias]]
        parts = [{"params": part, "lr": 0.1 * (i + 1)} for i, part in enumerate(parameters[:count])]
        optimizer = torch.optim.SGD(parts)
        with dt.Recorder(RUN, model, optimizer=optimizer, every=1, strict=True) as recorder:
            train(recorder, model, optimizer, range(2 * session, 2 * session + 2))
    scalars = recorder._sink.dataset("scalars")
    assert scalars.sizes == {"iteration": 4, "param_group": 2}
    np.testing.assert_allclose(scalars.learning_rate[-1], [0.1, 0.2] if groups > 1 else [0.1, np.nan])
    if groups == 3:
        np.testing.assert_allclose(scalars.learning_rate_2.values[2:], 0.3)


@pytest.mark.usefixtures("sinks")
def test_averaged_weights__are_evaluated_beside_the_raw_ones() -> None:
    model = two_linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    x, y = torch.randn(20, 4), torch.arange(20) % 3
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    with dt.Recorder(RUN, model, optimizer=optimizer, every=1, strict=True) as recorder:
        for step, batch in enumerate(batches(5)):
            recorder.step(step, loss=update(model, optimizer, *batch))
            average.update_parameters(model)
        recorder.validate(4, loader)
        recorder.validate(4, loader, model=average, weights="ema")
        with torch.no_grad():
            truth = {"raw": model(x), "ema": average(x)}
    images = recorder._sink.dataset("images/validation")
    for weights, logits in truth.items():
        row = recorder._sink.dataset(f"validation/validation/{weights}").isel(validation=0)
        order = images.position.values
        np.testing.assert_array_equal(row.predicted, logits.argmax(1).numpy()[order])
        expected = nn.functional.cross_entropy(logits, y, reduction="none").numpy()[order]
        np.testing.assert_allclose(row.loss, expected, rtol=2e-3)
    assert not torch.equal(truth["raw"], truth["ema"])


@pytest.mark.usefixtures("sinks")
def test_steps_that_jump__keep_the_gradient_and_the_distance_right() -> None:
    """The number of a step is told after its update: what was read in vain is not shown later."""
    model = two_linear()
    parts = [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in (model[0], model[2])]
    true: dict[int, float] = {}
    steps = [0, 2, 4, 7, 10, 12, 13]
    options = {"every": 2, "full_every": 10, "raw": "2", "raw_every": 10}
    with dt.Recorder(RUN, model, optimizer=parts, **options, strict=True) as recorder:
        for step, (x, y) in zip(steps, batches(len(steps)), strict=True):
            for optimizer in parts:
                optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            true[step] = float(model[2].weight.grad.norm())
            for optimizer in parts if step != 10 else parts[:1]:
                optimizer.step()
            recorder.step(step)
    layers = recorder._sink.dataset("layers/dense").sel(layer="2")
    assert layers.iteration.values.tolist() == [0, 2, 4, 10, 12]
    assert layers.steps.values.tolist() == [-1, 2, 2, 6, 2]
    np.testing.assert_allclose(layers.g_norm2, [true[0], true[2], true[4], np.nan, true[12]], rtol=1e-6)
    raw = recorder._sink.dataset("weights/1")
    np.testing.assert_allclose(np.linalg.norm(raw.gradient, axis=(1, 2)), [true[0], np.nan], rtol=1e-6)
    assert recorder._sink.dataset("scalars").steps.values.tolist() == [-1, 2, 2, 3, 3, 2, 1]


@pytest.mark.usefixtures("sinks")
def test_batches__are_kept_and_one_that_does_not_fit_costs_only_its_row(capsys) -> None:
    model = two_linear()
    with dt.Recorder(RUN, model, every=1) as recorder:
        recorder.step(0, batch_ids=torch.tensor([7, 8, 9]), batch_labels=[0, 1, 2])
        recorder.step(1, batch_ids=[4, 5], batch_labels=[1, 1])
        recorder.step(2, batch_ids=[1, 2, 3, 4])
        recorder.step(3, batch_labels=[2, 2, 2])
        recorder.step(4, batch_labels=torch.tensor([0, 2**32 + 1, 1]))  # would come back as 1
        recorder.step(5, batch_ids=np.array([2**63 + 1, 2, 3], np.uint64))
        assert recorder.faults == 3
    with dt.Recorder(RUN, model, every=1, strict=True) as recorder:  # a shorter batch comes first after a resume
        recorder.step(6, batch_ids=[6])
    rows = recorder._sink.dataset("batches")
    assert rows.iteration.values.tolist() == [0, 1, 3, 6]
    assert rows.batch_ids.values.tolist() == [[7, 8, 9], [4, 5, -1], [-1, -1, -1], [6, -1, -1]]
    assert rows.batch_labels.values.tolist() == [[0, 1, 2], [1, 1, -1], [2, 2, 2], [-1, -1, -1]]
    assert recorder._sink.dataset("filters/dense").sizes["iteration"] == 7
    assert "a batch of 4 after a first one of 3" in capsys.readouterr().err


@pytest.mark.usefixtures("sinks")
def test_raw__weights_and_gradients_are_the_real_ones_in_the_shape_of_the_kernel() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, (3, 2)), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(6 * 42, 2)
    ).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 6, 6)
    model(x)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    true = []
    with dt.Recorder(RUN, model, optimizer=optimizer, every=1, raw="^[01]$", raw_every=2, strict=True) as recorder:
        for step in range(3):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            gradients = [model[i].weight.grad.clone() for i in (0, 1)]
            optimizer.step()
            recorder.step(step)
            true.append(([model[i].weight.detach().clone() for i in (0, 1)], gradients))
    sink = recorder._sink
    assert {group for group in sink.groups if group.startswith("weights/")} == {"weights/0", "weights/1"}
    for row, step in enumerate((0, 2)):
        for name, i in (("weight", 0), ("gradient", 1)):
            conv, transposed = (sink.dataset(f"weights/{n}")[name].values[row] for n in (0, 1))
            np.testing.assert_array_equal(conv.reshape(4, 3, 3, 2), true[step][i][0])
            # (input, output within the group, y, x) → (group, output within it, input within it, y, x)
            expected = true[step][i][1].reshape(2, 2, 3, 3, 3).transpose(1, 2)
            np.testing.assert_array_equal(transposed.reshape(2, 3, 2, 3, 3), expected)


@pytest.mark.usefixtures("sinks")
def test_disk_budget__keeps_the_core_always_and_all_at_every_hundredth_record() -> None:
    model = two_linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with dt.Recorder(RUN, model, optimizer=optimizer, every=1, disk_budget="1GB", strict=True) as recorder:
        train(recorder, model, optimizer, range(102))
    for group in ("filters/dense", "layers/dense"):
        table = recorder._sink.dataset(group)
        for name in table.data_vars:
            kept = ~np.isnan(table[name].values.reshape(102, -1)).all(axis=1)
            if name.startswith("bn_"):
                assert not kept.any(), "there is no normalisation"
            elif name in CORE:
                assert kept[1:].all(), name
            else:
                assert np.flatnonzero(kept).tolist() in ([0, 100], [100]), name
    assert recorder._sink.attributes["disk_budget"] == {"bytes": 10**9, "dense_last": 10_000, "whole_every": 100}


@pytest.mark.usefixtures("sinks")
def test_max_overhead__records_more_rarely_and_says_so(capsys, monkeypatch) -> None:
    monkeypatch.setattr("deeptracker.record.schedule._SECONDS_BEFORE_CHANGE", 0.0)
    model = two_linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with dt.Recorder(RUN, model, optimizer=optimizer, every=2, max_overhead=0.001, strict=True) as recorder:
        train(recorder, model, optimizer, range(100))
    layers = recorder._sink.dataset("layers/dense")
    strides = recorder._sink.attributes["strides"]
    assert [stride for _, stride in strides][:2] == [2, 4]
    assert layers.iteration.values[:9].tolist() == list(range(0, 18, 2))
    late = layers.iteration.values > strides[1][0]
    assert (layers.iteration.values[late] % 8 == 0).all()
    np.testing.assert_array_equal(layers.steps.values[1:], np.diff(layers.iteration.values))
    assert not np.isnan(layers.g_norm2).any()
    assert recorder._sink.dataset("scalars").sizes["iteration"] == 100
    assert f"from {strides[0][0]} on one due step in 2 is recorded" in capsys.readouterr().err


class Swapped(nn.Module):
    """Runs its layers in the order of registration or against it."""

    def __init__(self, forwards: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        first, second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.names = ("a", "b") if forwards else ("b", "a")
        for name in ("a", "b"):
            self.add_module(name, {"a": first, "b": second}[name])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x


@pytest.mark.usefixtures("sinks")
def test_resume__writes_every_layer_where_the_run_has_it() -> None:
    truth = []
    for session, forwards in enumerate((False, True)):  # the run's order is b, a; that of the second session a, b
        model = Swapped(forwards)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with dt.Recorder(RUN, model, optimizer=optimizer, every=1, raw="a", raw_every=1, strict=True) as recorder:
            model(torch.ones(2, 4)).sum().backward()
            optimizer.step()
            recorder.step(session)
            truth.append([model.get_submodule(name).weight.detach().double().norm().item() for name in "ab"])
    sink = recorder._sink
    assert sink.dataset("architecture").layer.values.tolist() == ["b", "a"]
    np.testing.assert_allclose(sink.dataset("layers/dense").w_norm2.sel(layer=["a", "b"]), truth, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(sink.dataset("weights/1").weight, axis=(1, 2)), np.array(truth)[:, 0],
                               rtol=1e-6)  # fmt: skip
    assert (sink.dataset("layers/dense").rotation_from_init.sel(iteration=1) > 0).all()


def test_disk_that_is_full__changes_no_loss_and_is_said_once(tmp_path, capsys, monkeypatch) -> None:
    losses = []
    for recorded in (False, True):
        model = two_linear()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        if not recorded:
            losses.append([update(model, optimizer, *batch).item() for batch in batches(20)])
            continue
        recorder = dt.Recorder(tmp_path / "run", model, optimizer=optimizer, every=1, flush_secs=0.01)
        first = train(recorder, model, optimizer, range(5))
        recorder.flush()

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("deeptracker.store.disk.Disk.add", full)
            for step, batch in enumerate(list(batches(20))[5:], 5):
                loss = update(model, optimizer, *batch)
                recorder.step(step, loss=loss)
                first.append(loss.item())
                recorder.flush()
            recorder.close()
        losses.append(first)
    said = capsys.readouterr().err
    assert recorder.faults > 0
    assert said.count("No space left on device") == 1
    assert said.count("recording failed") == 1
    # The batches of train() start anew: the first five are the same ones.
    assert losses[0] == losses[1]
    assert dt.open_run(tmp_path / "run").filters.iteration.values.tolist() == list(range(5))


@pytest.mark.usefixtures("sinks")
@pytest.mark.parametrize("sampler", [SubsetRandomSampler(range(6)), WeightedRandomSampler([1.0] * 6, 6)])
def test_every_loader_that_shuffles__is_refused(sampler) -> None:
    data = TensorDataset(torch.randn(6, 4), torch.zeros(6, dtype=torch.long))
    with dt.Recorder(RUN, two_linear(), strict=True) as recorder, pytest.raises(InputError, match="shuffles"):
        recorder.validate(0, DataLoader(data, sampler=sampler))
