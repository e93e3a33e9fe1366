"""Every kind of layer is described rightly, or left out with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import deeptracker as dt
from deeptracker.testing import MemorySink

KINDS = {
    "conv1d": (nn.Conv1d(4, 6, 3), (4, 5)),
    "conv2d": (nn.Conv2d(4, 6, (3, 2)), (4, 5, 5)),
    "conv3d": (nn.Conv3d(4, 6, 2), (4, 3, 3, 3)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), (4, 5, 5)),
    "transposed1d": (nn.ConvTranspose1d(4, 6, 3), (4, 5)),
    "transposed2d": (nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 3, 3)),
    "transposed3d": (nn.ConvTranspose3d(4, 6, 2), (4, 3, 3, 3)),
    "transposed_grouped1d": (nn.ConvTranspose1d(4, 6, 3, groups=2), (4, 5)),
    "transposed_grouped2d": (nn.ConvTranspose2d(4, 6, (3, 2), groups=2), (4, 3, 3)),
    "transposed_grouped3d": (nn.ConvTranspose3d(4, 8, 2, groups=4), (4, 3, 3, 3)),
    "linear": (nn.Linear(4, 6), (4,)),
}


def record(model: nn.Module, **options: object) -> MemorySink:
    """One step without an optimizer; gradients are what ``p.grad`` holds."""
    with dt.Recorder(Path("run"), model, every=1, strict=True, **options) as recorder:
        sink = recorder._sink
        recorder.step(0)
    return sink


def weights_of_channel(module: nn.Module, shape: tuple[int, ...], channel: int) -> np.ndarray:
    """Which weights an output channel depends on, by the module's own derivative."""
    images = torch.rand(1, *shape) + 0.1
    output = module(images)
    (derivative,) = torch.autograd.grad(output.movedim(1 if len(shape) > 1 else -1, 0)[channel].sum(), module.weight)
    return derivative.numpy() != 0


@pytest.mark.usefixtures("sinks")
@pytest.mark.parametrize("kind", KINDS)
def test_filters__are_the_weights_that_an_output_channel_depends_on(kind) -> None:
    module, shape = KINDS[kind]
    module.weight.grad = torch.randn_like(module.weight)
    sink = record(nn.ModuleDict({"layer": module}))
    filters = sink.dataset("filters/dense").isel(iteration=0)
    weight, gradient = module.weight.detach().double().numpy(), module.weight.grad.double().numpy()
    channels = 1 if len(shape) > 1 else -1
    assert filters.sizes["filter"] == module(torch.rand(1, *shape)).shape[channels]
    for channel in range(filters.sizes["filter"]):
        mine = weights_of_channel(module, shape, channel)
        row = filters.isel(filter=channel)
        np.testing.assert_allclose(row.w_norm2, np.linalg.norm(weight[mine]), rtol=1e-6)
        np.testing.assert_allclose(row.w_min, weight[mine].min(), rtol=1e-6)
        np.testing.assert_allclose(row.g_norm1, np.abs(gradient[mine]).sum(), rtol=1e-6)
        np.testing.assert_allclose(row.grad_ratio2, np.linalg.norm(gradient[mine]) / np.linalg.norm(weight[mine]),
                                   rtol=1e-6)  # fmt: skip
    module.weight.grad = None


@pytest.mark.usefixtures("sinks")
def test_bilinear_and_attention__have_their_output_units_as_filters() -> None:
    model = nn.ModuleDict({
        "bilinear": nn.Bilinear(3, 4, 5),
        "packed": nn.MultiheadAttention(6, 2),
        "apart": nn.MultiheadAttention(6, 2, kdim=3, vdim=4),
    })  # fmt: skip
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    sink = record(model)
    packed, apart = model["packed"], model["apart"]
    expected = {
        "bilinear": model["bilinear"].weight,
        "packed.q_proj": packed.in_proj_weight[:6],
        "packed.k_proj": packed.in_proj_weight[6:12],
        "packed.v_proj": packed.in_proj_weight[12:],
        "packed.out_proj": packed.out_proj.weight,
        "apart.q_proj": apart.q_proj_weight,
        "apart.k_proj": apart.k_proj_weight,
        "apart.v_proj": apart.v_proj_weight,
        "apart.out_proj": apart.out_proj.weight,
    }
    table = sink.dataset("architecture")
    assert sorted(table.layer.values) == sorted(expected)
    filters = sink.dataset("filters/dense").isel(iteration=0)
    for name, weight in expected.items():
        rows = weight.detach().double().flatten(1)
        assert table.parameters.sel(layer=name) == rows.numel()
        np.testing.assert_allclose(filters.w_norm2.sel(layer=name), rows.norm(dim=1), rtol=1e-6)
    gradient = packed.in_proj_weight.grad[6:12].double()
    np.testing.assert_allclose(filters.g_norm2.sel(layer="packed.k_proj"), gradient.norm(dim=1), rtol=1e-6)
    np.testing.assert_allclose(
        sink.dataset("layers/dense").g_norm2.isel(iteration=0).sel(layer="packed.k_proj"), gradient.norm(), rtol=1e-6
    )


@pytest.mark.usefixtures("sinks")
def test_attention__stands_where_it_runs_with_its_output_projection() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    with dt.Recorder(Path("run"), model, every=1, strict=True) as recorder:
        model(torch.randn(2, 3, 8)).sum().backward()
        recorder.step(0)
    table = recorder._sink.dataset("architecture")
    names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "linear1", "linear2"]
    assert table.layer.values.tolist() == names
    assert table.attrs["order"] == "execution"
    edges = {(names[a], names[b]) for a, b in table.edges.values.tolist()}
    assert {("self_attn.v_proj", "self_attn.out_proj"), ("self_attn.out_proj", "linear1")} <= edges
    assert table.activation.sel(layer="linear1") == "ReLU"


@pytest.mark.usefixtures("sinks")
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
def test_computed_weights__are_their_parameters_with_a_note_and_keep_their_place() -> None:
    model = nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(1, 4, 3)), nn.BatchNorm2d(4), nn.ReLU(),
        nn.utils.weight_norm(nn.Conv2d(4, 5, 3)), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(),
        parametrizations.spectral_norm(nn.Linear(5 * 16, 6)), nn.Tanh(),
        nn.utils.spectral_norm(nn.Linear(6, 4)), prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5),
        parametrizations.orthogonal(nn.Linear(4, 4)),
    )  # fmt: skip
    with dt.Recorder(Path("run"), model, every=1, strict=True) as recorder:
        state = {name: value.clone() for name, value in model.state_dict().items()}
        recorder._snapshots.flush(recorder._sink)
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        model(torch.randn(2, 1, 8, 8)).sum().backward()
        recorder.step(0)
    sink = recorder._sink
    parameters = {
        "0": model[0].parametrizations.weight.original1, "3": model[3].weight_v,
        "7": model[7].parametrizations.weight.original, "9": model[9].weight_orig, "10": model[10].weight_orig,
        "11": model[11].parametrizations.weight.original,
    }  # fmt: skip
    table, filters = sink.dataset("architecture"), sink.dataset("filters/dense").isel(iteration=0)
    assert table.layer.values.tolist() == list(parameters)
    for name, parameter in parameters.items():
        rows, gradient = parameter.detach().double().flatten(1), parameter.grad.double().flatten(1)
        np.testing.assert_allclose(filters.w_norm2.sel(layer=name), rows.norm(dim=1), rtol=1e-6)
        np.testing.assert_allclose(filters.g_norm2.sel(layer=name), gradient.norm(dim=1), rtol=1e-6)
    notes = table.attrs["notes"]
    assert "parametrized" in notes["0"]
    assert "direction" in notes["3"]
    assert "weight_orig" in notes["10"]
    assert table.normalisation.values.tolist()[:2] == ["1", "4"], "the norm of a weight hides nothing that follows"
    assert table.activation.values.tolist()[:3] == ["ReLU", "ReLU", "Tanh"]
    assert table.edges.values.tolist() == [[i, i + 1] for i in range(5)]


def test_channels_last__gives_the_numbers_of_contiguous_weights(sinks) -> None:
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 6, 3, groups=2)).to(memory_format=layout)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
        path, every = Path(str(layout)), {"every": 1, "full_every": 1, "raw": ".", "raw_every": 1}
        for session in range(2):  # the weights at construction come back from the run
            with dt.Recorder(path, model, optimizer=optimizer, **every, strict=True) as recorder:
                for step in (2 * session, 2 * session + 1):
                    model(torch.linspace(-1, 1, 75).reshape(1, 3, 5, 5)).square().sum().backward()
                    optimizer.step()
                    recorder.step(step)
                    optimizer.zero_grad()
        results.append(sinks[path])
    groups = ("filters/dense", "layers/dense", "filters/full", "initial/0", "initial/1", "weights/0", "weights/1")
    for group in groups:
        plain, last = (sink.dataset(group) for sink in results)
        for name in plain.data_vars:
            # A square root of squared differences of norms: angles are right to 1e-5 rad.
            np.testing.assert_allclose(last[name], plain[name], rtol=2e-4, atol=2e-5, err_msg=f"{group}/{name}")


@pytest.mark.usefixtures("sinks")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_precisions__are_read_as_float32(dtype) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(3, 4)).to(dtype)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    filters = record(model).dataset("filters/dense").isel(iteration=0)
    for name, layer in (("0", model[0]), ("1", model[1])):
        weight, gradient = (t.detach().double().flatten(1) for t in (layer.weight, layer.weight.grad))
        np.testing.assert_allclose(filters.w_norm2.sel(layer=name), weight.norm(dim=1), rtol=1e-6)
        np.testing.assert_allclose(filters.w_max.sel(layer=name), weight.amax(dim=1), rtol=1e-6)
        np.testing.assert_allclose(filters.g_norm2.sel(layer=name), gradient.norm(dim=1), rtol=1e-6)


@pytest.mark.usefixtures("sinks")
def test_pruning_within_a_training__goes_on_with_the_parameter_under_its_new_name() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    with dt.Recorder(Path("run"), model, every=1, strict=True) as recorder:
        recorder.step(0)
        prune.l1_unstructured(model[0], "weight", 0.5)
        recorder.step(1)
        prune.remove(model[0], "weight")
        recorder.step(2)
    filters = recorder._sink.dataset("filters/dense")
    assert (filters.w_zero_fraction.sel(iteration=[0, 1]) == 0).all(), "the mask lies beside the parameter"
    np.testing.assert_allclose(
        filters.w_zero_fraction.sel(iteration=2), (model[0].weight == 0).float().mean(1), rtol=1e-6
    )


@pytest.mark.usefixtures("sinks")
def test_model_that_is_one_layer__has_the_name_of_its_kind() -> None:
    assert record(nn.Linear(2, 3)).dataset("architecture").layer.values.tolist() == ["Linear"]


@pytest.mark.usefixtures("sinks")
def test_probe__reads_layers_that_no_normalisation_follows() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    x = torch.randn(2, 1, 7, 7)
    with dt.Recorder(Path("run"), model, every=1, probe=x, probe_every=1, strict=True) as recorder:
        model(x).sum().backward()
        recorder.step(0)
    with torch.no_grad():
        outputs = model[:2](x), model(x)
    row = recorder._sink.dataset("filters/probe").isel(iteration=0)
    for name, output in zip(("0", "2"), outputs, strict=True):
        np.testing.assert_allclose(row.act_mean.sel(layer=name), output.mean((0, 2, 3)), rtol=1e-5)
    assert (row.act_zero_fraction.sel(layer="0") > 0).any()
