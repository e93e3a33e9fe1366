"""What the tests of training loops share: a net, a loop without and with a recorder, and what is true of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import deeptracker as dt
from deeptracker.testing import MemorySink

STEPS = 5
Gradients = list[dict[str, torch.Tensor | None]]
Record = Callable[..., AbstractContextManager[Any]]
Loop = Callable[[nn.Module, Record], tuple[list[float], Gradients]]


class Nobody:
    """In the place of a recorder."""

    def step(self, *_: Any, **__: Any) -> None: ...

    def validate(self, *_: Any, **__: Any) -> None: ...


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


def batches(number: int = STEPS, seed: int = 1) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(number):
        yield torch.randn(6, 1, 8, 8, generator=generator), torch.randint(0, 3, (6,), generator=generator)


def now(model: nn.Module) -> dict[str, torch.Tensor | None]:
    """Copies of the gradients of the two layers."""
    gradients = {"0": model[0].weight.grad, "4": model[4].weight.grad}
    return {name: None if g is None else g.detach().clone().double().flatten(1) for name, g in gradients.items()}


def sgd(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3, **options)


def run(loop: Loop, **options: Any) -> tuple[MemorySink, Gradients]:
    """A loop without and with a recorder: the same, bit for bit. Returns what was recorded, and what is true."""
    outcomes = []
    sinks: list[MemorySink] = []
    for recorded in (False, True):
        model = small_net()

        def record(optimizer: Any = None, model: nn.Module = model, recorded: bool = recorded) -> Any:
            if not recorded:
                return nullcontext(Nobody())
            recorder = dt.Recorder(Path("run"), model, optimizer=optimizer, every=1, strict=True, **options)
            sinks.append(recorder._sink)
            return recorder

        losses, gradients = loop(model, record)
        outcomes.append((losses, {name: value.clone() for name, value in model.state_dict().items()}, gradients))
    (plain_losses, plain_state, _), (losses, state, gradients) = outcomes
    assert losses == plain_losses
    assert all(torch.equal(state[name].nan_to_num(), plain_state[name].nan_to_num()) for name in state)
    return sinks[0], gradients


def check(sink: MemorySink, gradients: Gradients) -> None:
    """Recorded norms are those of the true gradients; NaN where there was none."""
    filters, layers = sink.dataset("filters/dense"), sink.dataset("layers/dense")
    assert filters.iteration.values.tolist() == list(range(len(gradients)))
    for step, true in enumerate(gradients):
        for name, gradient in true.items():
            row, layer = (t.sel(iteration=step, layer=name) for t in (filters, layers))
            if gradient is None:
                assert np.isnan(row.g_norm2).all()
                assert np.isnan(layer.g_norm2)
                continue
            finite = torch.where(gradient.isfinite(), gradient, 0)
            if bool(gradient.isfinite().any(dim=1).all()):
                np.testing.assert_allclose(row.g_norm2, finite.norm(dim=1), rtol=1e-6, err_msg=f"step {step}")
                np.testing.assert_allclose(row.g_max, gradient.nan_to_num(-9, -9, -9).amax(1), rtol=1e-6)
            np.testing.assert_array_equal(row.nonfinite, (~gradient.isfinite()).sum(1))
