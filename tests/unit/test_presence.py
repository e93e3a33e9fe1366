"""A layer that gets other weights, or whose module is replaced: missing from then on, and said once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import deeptracker as dt
from deeptracker.record.measure import Measurer
from deeptracker.record.stacked import StackedSet

RUN, STEPS, CHANGED = Path("run"), 8, 4


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.ReLU(), nn.Linear(5, 3)
    )


def wider(model: nn.Sequential) -> None:
    model[6].weight = nn.Parameter(torch.randn(3, 9))
    model[5] = nn.Linear(5, 9)


def huge(model: nn.Sequential) -> None:
    model[6].weight = nn.Parameter(torch.zeros(3, 60_000))
    model[5] = nn.Linear(5, 60_000)


def narrower(model: nn.Sequential) -> None:
    model[6].weight = nn.Parameter(torch.randn(3, 2))
    model[5] = nn.Linear(5, 2)


def more_filters(model: nn.Sequential) -> None:
    model[6].weight = nn.Parameter(torch.randn(7, 5))
    model[6].bias = None


def replaced(model: nn.Sequential) -> None:
    model[6] = nn.Linear(5, 3)


def no_parameter(model: nn.Sequential) -> None:
    weight = model[6].weight.detach().clone()
    del model[6].weight
    model[6].weight = weight


def train(model: nn.Sequential, change: Callable[[nn.Sequential], None] | None, **options: object) -> dt.Recorder:
    """Records, with a change in the middle; the optimizer then has what the model has."""
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with dt.Recorder(RUN, model, optimizer=optimizer, every=1, **options) as recorder:
        for step in range(STEPS):
            if step == CHANGED and change is not None:
                change(model)
                optimizer.param_groups[0]["params"] = list(model.parameters())
            loss = model(x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(step, loss=loss)
    return recorder


@pytest.mark.usefixtures("sinks")
@pytest.mark.parametrize("change", [wider, huge, narrower, more_filters, replaced, no_parameter])
def test_layer_that_changes__is_missing_from_then_on_and_nothing_else_is(
    change: Callable[[nn.Sequential], None], capfd: pytest.CaptureFixture[str]
) -> None:
    recorder = train(net(), change, full_every=1, raw="^6$", raw_every=1)
    assert recorder.faults == 1
    assert "step 4: '6' got weights of another shape, or another module took the place" in capfd.readouterr().err
    for group in ("filters/dense", "layers/dense", "layers/full", "filters/full"):
        dataset = recorder._sink.dataset(group)
        axis = group.split("/")[0].rstrip("s")
        place = {axis: {"filter": [9, 10, 11], "layer": [2]}[axis]}
        mine, others = dataset.isel(place), dataset.drop_isel(place)
        assert dataset.iteration.values.tolist() == list(range(STEPS))
        for name, values in mine.data_vars.items():
            late = values.sel(iteration=slice(CHANGED, None))
            if values.dtype.kind == "f" and "iteration" in values.dims:
                assert np.isnan(late).all(), (group, name)
                if name == "w_norm2":
                    assert not np.isnan(values.sel(iteration=slice(0, CHANGED - 1))).any()
                    assert not np.isnan(others[name]).any()
            elif name == "nonfinite":
                assert (late == 0).all()
    raw = recorder._sink.dataset("weights/2")
    assert np.isnan(raw.weight.values).all(axis=(1, 2)).tolist() == [step >= CHANGED for step in range(STEPS)]
    assert not np.isnan(recorder._sink.dataset("scalars").loss).any()


@pytest.mark.usefixtures("sinks")
@pytest.mark.parametrize("change", [wider, narrower, more_filters, replaced, no_parameter])
def test_layer_that_changes__is_missing_where_a_device_computes(
    change: Callable[[nn.Sequential], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(self: Measurer, initial: list[np.ndarray]) -> None:
        self._set = StackedSet(self.description.layers, initial, torch.device("cpu"))

    monkeypatch.setattr(Measurer, "_hold", hold)
    recorder = train(net(), change)
    assert recorder.faults == 1
    dense = recorder._sink.dataset("layers/dense")
    assert np.isnan(dense.w_norm2.values)[:, 2].tolist() == [step >= CHANGED for step in range(STEPS)]
    assert not np.isnan(dense.w_norm2.values[:, :2]).any()


@pytest.mark.usefixtures("sinks")
def test_normalisation_that_is_replaced__is_missing_and_its_layer_is_not() -> None:
    def change(model: nn.Sequential) -> None:
        model[1] = nn.BatchNorm2d(4)

    dense = train(net(), change)._sink.dataset("filters/dense").isel(filter=slice(0, 4))
    assert np.isnan(dense.bn_gamma.values).all(axis=1).tolist() == [step >= CHANGED for step in range(STEPS)]
    assert not np.isnan(dense.w_norm2).any()


@pytest.mark.usefixtures("sinks")
def test_weights_of_the_same_shape__are_followed() -> None:
    model, seen = net(), []

    def change(model: nn.Sequential) -> None:
        model[6].weight = nn.Parameter(torch.full((3, 5), 2.0))
        model.register_forward_hook(lambda *_: seen.append(model[6].weight.detach().clone()))

    recorder = train(model, change)
    assert recorder.faults == 0
    dense = recorder._sink.dataset("filters/dense").isel(filter=slice(9, 12))
    np.testing.assert_allclose(dense.w_norm2[-1], model[6].weight.detach().norm(dim=1), rtol=1e-6)
    np.testing.assert_allclose(dense.w_norm2[-2], seen[-1].norm(dim=1), rtol=1e-6)


@pytest.mark.usefixtures("sinks")
def test_change_before_the_first_record__is_missing_from_the_beginning() -> None:
    model = net()
    x = torch.randn(6, 1, 8, 8)
    with dt.Recorder(RUN, model, every=4, start=4) as recorder:
        for step in range(STEPS):
            if step == 2:
                wider(model)
            recorder.step(step, loss=model(x).square().mean())
    dense = recorder._sink.dataset("layers/dense")
    assert recorder.faults == 1
    assert np.isnan(dense.w_norm2.values).tolist() == [[False, False, True]]
