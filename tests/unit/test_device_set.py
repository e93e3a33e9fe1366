"""Statistics computed where the weights are must equal the kernels' of the processor.

Of the two sets, torch's own operations are tested here as they are. Triton's kernels need a GPU, or its interpreter,
which has to be chosen before Triton is imported: the first test runs this file again in a process with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deeptracker.errors import InputError
from deeptracker.record.device import DeviceSet
from deeptracker.record.layers import Layer
from deeptracker.record.modules import find_layers
from deeptracker.record.segments import SegmentSet
from deeptracker.record.stacked import StackedSet
from deeptracker.statistics import StandardSet

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
ANGLES = {"update_angle": 1e-5, "rotation_from_init": 1e-5}


@pytest.mark.skipif(INTERPRETED, reason="this is the inner run")
def test_segment_set__passes_the_same_tests_in_tritons_interpreter() -> None:
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-rN", __file__]
    inner = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert inner.returncode == 0, inner.stdout
    assert "1 skipped" in inner.stdout  # nothing but this test


def set_of(layers: Sequence[Layer], initial: Sequence[np.ndarray[Any, Any]]) -> DeviceSet:
    return (SegmentSet if INTERPRETED else StackedSet)(layers, initial, torch.device("cpu"))


def rows_of(layers: Sequence[Layer]) -> list[np.ndarray[Any, Any]]:
    return [layer.rows(layer.parameter).copy() for layer in layers]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.Conv2d(4, 4, 3, groups=2), nn.ConvTranspose2d(4, 4, 2, groups=2), nn.Linear(18, 2),
        nn.Linear(18, 2), nn.Linear(512, 1), nn.Linear(1025, 2),
    )  # fmt: skip


def disturb(tensor: torch.Tensor, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        tensor += (0.01 * torch.randn(tensor.shape, generator=generator)).to(tensor.dtype)
        flat = tensor.view(-1) if tensor.is_contiguous() else tensor.permute(0, 2, 3, 1).view(-1)
        flat[torch.randint(0, flat.numel(), (2,), generator=generator)] = 0


def gradients(layers: Sequence[Layer], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        values = torch.randn(layer.parameter.shape, generator=generator)
        layer.parameter.grad = torch.empty_like(layer.parameter).copy_(values)


def agree(ours: DeviceSet, kernels: StandardSet) -> None:
    way = ours.derive()
    assert way.ready()
    filters, of_layers, norm = way.finish()
    expected, expected_of_layers, expected_norm = kernels.derive()
    for mine, theirs in ((filters, expected), (of_layers, expected_of_layers)):
        assert mine.keys() == theirs.keys()
        for name, values in theirs.items():
            np.testing.assert_allclose(mine[name], values, rtol=2e-6, atol=ANGLES.get(name, 1e-12), err_msg=name)
    np.testing.assert_allclose(norm, expected_norm, rtol=1e-12)


@pytest.mark.parametrize("scale", [None, torch.tensor([1024.0])])
def test_device_set__equals_the_kernels_over_several_records(scale: torch.Tensor | None) -> None:
    layers, _ = find_layers(net())
    initial, everything = rows_of(layers), range(7)
    ours, kernels = set_of(layers, initial), StandardSet([*map(np.copy, initial)], [*map(np.copy, initial)])
    for record in range(3):
        gradients(layers, record)
        for number, layer in enumerate(layers):
            disturb(layer.parameter, 10 * record + number)
        with torch.no_grad():
            if record == 1:
                layers[0].parameter.view(-1)[:3] = torch.tensor([np.nan, np.inf, -np.inf])
                layers[1].parameter.grad.view(-1)[0] = np.nan
                layers[4].parameter[0] = np.nan  # a filter without a finite weight
                layers[6].parameter.grad[1, 600:] = np.inf
                layers[6].parameter[1] = 0
            if record == 2:  # finite again, where the previous ones were not
                layers[3].parameter.grad = None
                layers[0].parameter.view(-1)[:2] = 0.5
                layers[4].parameter[0] = 0.5
        given = [layer.parameter.grad for layer in layers]
        ours.gradients(given, everything, scale)
        rows = [None if g is None else layer.rows(g) for layer, g in zip(layers, given, strict=True)]
        kernels.gradients(rows, everything, 1.0 if scale is None else float(scale))
        ours.weights([layer.parameter for layer in layers])
        kernels.weights(rows_of(layers))
        agree(ours, kernels)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_device_set__reads_parameters_of_any_precision(kind: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 3, 2), nn.Linear(9, 3))
    model[0].to(kind)
    model[1].to(kind)
    layers, _ = find_layers(model)
    initial = rows_of(layers)
    ours, kernels = set_of(layers, initial), StandardSet([*map(np.copy, initial)], [*map(np.copy, initial)])
    for record in range(2):
        gradients(layers, record)
        for number, layer in enumerate(layers):
            disturb(layer.parameter, 10 * record + number)
        ours.gradients([layer.parameter.grad for layer in layers], range(3), 0.5)
        kernels.gradients([layer.rows(layer.parameter.grad) for layer in layers], scale=0.5)
        ours.weights([layer.parameter for layer in layers])
        kernels.weights(rows_of(layers))
        agree(ours, kernels)


def test_device_set__reads_weights_as_they_lie_in_memory() -> None:
    torch.manual_seed(0)
    model = nn.ModuleList([nn.Conv2d(4, 3, 3), nn.MultiheadAttention(4, 2), nn.Embedding(5, 3)])
    model[0].to(memory_format=torch.channels_last)
    layers, _ = find_layers(model)
    assert any(layer.part for layer in layers)  # the projections of the attention are parts of one parameter
    initial = rows_of(layers)
    ours, kernels = set_of(layers, initial), StandardSet([*map(np.copy, initial)], [*map(np.copy, initial)])
    for record in range(3):
        gradients(layers, record)
        for number, layer in enumerate(layers):
            disturb(layer.parameter, 10 * record + number)
        if record == 1:  # gradients and, after a move, weights may lie in another order than before
            layers[0].parameter.grad = layers[0].parameter.grad.contiguous()
            layers[0].parameter.data = layers[0].parameter.data.contiguous()
        ours.gradients([layer.parameter.grad for layer in layers], range(len(layers)))
        kernels.gradients([layer.rows(layer.parameter.grad) for layer in layers])
        ours.weights([layer.parameter for layer in layers])
        kernels.weights(rows_of(layers))
        agree(ours, kernels)


def test_device_set__reads_layers_of_several_optimizers_one_after_another() -> None:
    layers, _ = find_layers(net())
    ours = set_of(layers, rows_of(layers))
    for record in range(2):
        gradients(layers, record)
        for part in ([0, 2], [4]):
            ours.gradients([torch.ones_like(layers[i].parameter) for i in part], part)
        ours.weights([layer.parameter for layer in layers])
        filters = ours.derive().finish()[0]
        read = np.concatenate([np.full(layer.filters, i in (0, 2, 4)) for i, layer in enumerate(layers)])
        assert (np.isfinite(filters["g_norm2"]) == read).all()
        np.testing.assert_allclose(filters["g_mean"][read], 1)


def test_device_set__keeps_no_gradient_for_the_next_record() -> None:
    layers, _ = find_layers(net())
    ours = set_of(layers, rows_of(layers))
    weights = [layer.parameter for layer in layers]
    gradients(layers, 0)
    everything = [layer.parameter.grad for layer in layers]
    ours.gradients(everything, range(7))
    ours.weights(weights)
    ours.derive()
    ours.gradients([None] * 7, range(7))
    ours.weights(weights)
    filters, _, norm = ours.derive().finish()
    assert np.isnan(filters["g_norm2"]).all()
    assert np.isnan(norm)
    ours.gradients(everything, range(7))
    ours.forget_gradients()
    ours.gradients([everything[3]], [3])
    ours.weights(weights)
    filters = ours.derive().finish()[0]
    assert np.isfinite(filters["g_norm2"]).sum() == layers[3].filters
    assert np.isfinite(filters["w_norm2"]).all()


def test_device_set__counts_rotation_from_other_initial_weights() -> None:
    layers, _ = find_layers(net())
    initial = rows_of(layers)
    ours = set_of(layers, initial)
    other = [np.flip(rows, 1).copy() for rows in initial]
    other[0][0, :2] = np.nan, np.inf
    kernels = StandardSet(other, initial)
    ours.set_initial(other)
    ours.weights([layer.parameter for layer in layers])
    kernels.weights(rows_of(layers))
    agree(ours, kernels)


def test_device_set__refuses_weights_of_another_size() -> None:
    layers, _ = find_layers(net())
    ours = set_of(layers, rows_of(layers))
    layers[3].parameter.data = torch.zeros(2, 9)
    error, text = (InputError, r"\(2, 9\), not \(2, 18\)") if INTERPRETED else (RuntimeError, "Sizes of tensors")
    with pytest.raises(error, match=text):
        ours.weights([layer.parameter for layer in layers])
