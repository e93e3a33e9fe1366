"""A compiled training is recorded as if it were not, and compiled no more often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from loops import batches, small_net
from torch import nn

import deeptracker as dt
from deeptracker.testing import MemorySink

STEPS = 4
Setting = Callable[[nn.Module], tuple[nn.Module, nn.Module]]
pytestmark = [
    pytest.mark.usefixtures("sinks"),
    pytest.mark.filterwarnings("ignore::FutureWarning:torch", "ignore::DeprecationWarning"),
]


def whole(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    run = torch.compile(model, backend="aot_eager")
    return run, run


def in_place(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    model.compile(backend="aot_eager")
    return model, model


def outside(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The recorder is given the model without its compiled wrapper."""
    return torch.compile(model, backend="aot_eager"), model


def part(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    model[0] = torch.compile(model[0], backend="aot_eager")
    return model, model


def eager(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    return model, model


SETTINGS = {"whole": whole, "in_place": in_place, "outside": outside, "part": part}


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def train(setting: Setting, path: str | None, **options: object) -> tuple[list[float], int, MemorySink | None]:
    """Losses, how often something was compiled, and what was recorded."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = small_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    run, given = setting(model)
    recorder = None
    if path is not None:
        recorder = dt.Recorder(Path(path), given, optimizer=optimizer, every=1, strict=True, **options)
    losses = []
    for step, (x, y) in enumerate(batches(STEPS)):
        loss = nn.functional.cross_entropy(run(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if recorder is not None:
            recorder.step(step, loss=loss)
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    if recorder is None:
        return losses, compiled, None
    assert not any(module._forward_hooks for module in model.modules())
    recorder.close()
    return losses, compiled, recorder._sink


@pytest.mark.parametrize("kind", SETTINGS)
def test_compiled_training__has_the_same_losses_and_the_statistics_of_an_eager_one(kind: str) -> None:
    probe = {"probe": next(batches(1, seed=5))[0], "probe_every": 2}
    plain_losses, plain_compiled, _ = train(SETTINGS[kind], None)
    losses, compiled, sink = train(SETTINGS[kind], "compiled", **probe)
    _, _, reference = train(eager, "eager", **probe)
    assert losses == plain_losses
    # Only a model whose compiled wrapper the recorder does not know is compiled twice: hooks come off after a pass.
    assert compiled <= plain_compiled + (kind == "outside")
    assert sink is not None
    assert reference is not None
    for group in ("architecture", "filters/dense", "layers/dense", "filters/probe", "layers/probe"):
        mine, theirs = sink.dataset(group), reference.dataset(group)
        assert mine.layer.values.tolist() == theirs.layer.values.tolist()
        for name in theirs.data_vars:
            if theirs[name].dtype.kind == "f":
                np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-3, atol=1e-5, err_msg=f"{group}/{name}")
            elif name != "type":
                np.testing.assert_array_equal(mine[name], theirs[name], err_msg=f"{group}/{name}")


def test_compiled_model_without_a_probe__is_described_in_order_of_registration() -> None:
    _, _, sink = train(whole, "run")
    assert sink is not None
    table = sink.dataset("architecture")
    assert table.attrs["order"] == "registration"
    assert table.layer.values.tolist() == ["0", "4"]
    assert table.normalisation.values.tolist() == ["1", ""]
    assert table.edges.size == 0
    assert not np.isnan(sink.dataset("filters/dense").bn_running_var.sel(layer="0")).any()


def test_validation_of_a_compiled_model__gives_its_answers() -> None:
    model = small_net()
    run = torch.compile(model, backend="aot_eager")
    x, y = next(batches(1))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=4)
    with dt.Recorder(Path("run"), run, strict=True) as recorder:
        recorder.validate(0, loader)
    model.eval()
    expected = model(x).argmax(1).numpy()
    row = recorder._sink.dataset("validation/validation/raw").isel(validation=0)
    np.testing.assert_array_equal(row.predicted, expected[recorder._sink.dataset("images/validation").position])


def test_compiled_optimizer_step__calls_the_hook_without_looking_into_it() -> None:
    losses = []
    for recorded in (False, True):
        torch._dynamo.reset()
        model = small_net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        recorder = dt.Recorder(Path("run"), model, optimizer=optimizer, every=1, strict=True) if recorded else None
        step_compiled = torch.compile(optimizer.step, backend="aot_eager")
        norms = []
        for step, (x, y) in enumerate(batches(3)):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            norms.append(model[4].weight.grad.norm().item())
            step_compiled()
            losses.append(loss.item())
            if recorder is not None:
                recorder.step(step)
    assert recorder is not None
    recorder.close()
    assert losses[:3] == losses[3:]
    np.testing.assert_allclose(recorder._sink.dataset("layers/dense").g_norm2.sel(layer="4"), norms, rtol=1e-6)
    assert recorder._sink.dataset("scalars").step_skipped.values.tolist() == [0, 0, 0]
