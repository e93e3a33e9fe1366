"""Statistics computed where the weights are: on the processor's own device they must equal the kernels'."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deeptracker.record.device import DeviceSet
from deeptracker.record.modules import find_layers
from deeptracker.statistics import StandardSet


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=4), nn.ConvTranspose2d(8, 6, 2, groups=2), nn.Linear(18, 5),
        nn.Linear(18, 4),
    )  # fmt: skip


def disturb(tensor: torch.Tensor, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        tensor += 0.01 * torch.randn(tensor.shape, generator=generator)
        flat = tensor.view(-1)
        flat[torch.randint(0, flat.numel(), (2,), generator=generator)] = 0


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_device_set__equals_the_kernels_over_several_records(scale: float | None) -> None:
    model = net()
    layers, _ = find_layers(model)
    initial = [layer.rows(layer.parameter).copy() for layer in layers]
    ours = DeviceSet(layers, initial, torch.device("cpu"))
    kernels = StandardSet([rows.copy() for rows in initial], [rows.copy() for rows in initial])
    for record in range(3):
        for number, layer in enumerate(layers):
            disturb(layer.parameter, 10 * record + number)
            layer.parameter.grad = None if (record, number) == (1, 3) else torch.randn(layer.parameter.shape)
        if record == 2:
            with torch.no_grad():
                layers[0].parameter.view(-1)[:3] = torch.tensor([np.nan, np.inf, -np.inf])
                layers[1].parameter.grad.view(-1)[0] = np.nan
                layers[4].parameter[0] = np.nan  # a filter without a finite weight
        given = [layer.parameter.grad for layer in layers]
        everything = list(range(len(layers)))
        on_device = [None if g is None else layer.on_device(g) for layer, g in zip(layers, given, strict=True)]
        ours.gradients(on_device, everything, None if scale is None else torch.tensor(scale))
        rows = [None if g is None else layer.rows(g) for layer, g in zip(layers, given, strict=True)]
        kernels.gradients(rows, everything, 1.0 if scale is None else scale)
        ours.weights([layer.on_device(layer.parameter) for layer in layers])
        kernels.weights([layer.rows(layer.parameter) for layer in layers])
        way = ours.derive()
        assert way.ready()
        for mine, theirs in zip(way.finish()[:2], kernels.derive()[:2], strict=True):
            assert mine.keys() == theirs.keys()
            for name, values in theirs.items():
                tolerance = {"update_angle": 1e-5, "rotation_from_init": 1e-5}.get(name, 1e-12)
                np.testing.assert_allclose(mine[name], values, rtol=2e-6, atol=tolerance, err_msg=name)


def test_device_set__reads_layers_of_several_optimizers_one_after_another() -> None:
    model = net()
    layers, _ = find_layers(model)
    initial = [layer.rows(layer.parameter).copy() for layer in layers]
    ours = DeviceSet(layers, initial, torch.device("cpu"))
    for layer in layers:
        layer.parameter.grad = torch.ones_like(layer.parameter)
    for part in ([0, 2], [4]):
        ours.gradients([layers[i].on_device(layers[i].parameter.grad) for i in part], part)
    ours.weights([layer.on_device(layer.parameter) for layer in layers])
    filters = ours.derive().finish()[0]
    read = np.concatenate([np.full(layer.filters, i in (0, 2, 4)) for i, layer in enumerate(layers)])
    assert (np.isfinite(filters["g_norm2"]) == read).all()
    np.testing.assert_allclose(filters["g_mean"][read], 1)
