"""With a loss scaler, gradients are recorded without its scale, and steps that it skips are marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from loops import Gradients, Record, batches, check, now, run, sgd, small_net
from torch import nn

import deeptracker as dt

pytestmark = pytest.mark.usefixtures("sinks")


def scaled(model: nn.Module, record: Record, fused: bool, unscale: bool) -> tuple[list[float], Gradients]:
    losses, gradients, optimizer = [], [], sgd(model, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    with record(optimizer) as recorder:
        for step, (x, y) in enumerate(batches()):
            loss = nn.functional.cross_entropy(model(x), y)
            scale = scaler.get_scale()
            scaler.scale(loss if step != 2 else loss * torch.inf).backward()
            if unscale:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            true = now(model)
            gradients.append(true if unscale else {name: g / scale for name, g in true.items() if g is not None})
            scaler.step(optimizer)
            scaler.update()
            recorder.step(step, loss=loss)
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses, gradients


@pytest.mark.parametrize("unscale", [False, True], ids=["", "unscaled-and-clipped"])
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_scaler__gradients_are_without_its_scale_and_a_skipped_step_is_marked(fused: bool, unscale: bool) -> None:
    sink, gradients = run(lambda model, record: scaled(model, record, fused, unscale), full_every=1)
    check(sink, gradients)
    assert sink.dataset("scalars").step_skipped.values.tolist() == [0, 0, 1, 0, 0]
    layers = sink.dataset("layers/dense")
    assert (layers.nonfinite.sel(iteration=2) > 0).all()
    assert (layers.update_norm2.sel(iteration=2) == 0).all()
    assert (layers.nonfinite.sel(iteration=[0, 1, 3, 4]) == 0).all()
    full = sink.dataset("filters/full")
    expected = [np.median(true["4"], axis=1) for step, true in enumerate(gradients) if step != 2]
    medians = full.g_median.sel(layer="4", iteration=[0, 1, 3, 4])
    np.testing.assert_allclose(medians, expected, rtol=1e-5, atol=1e-9)


def test_scaler__over_two_fused_optimizers_marks_a_step_that_one_of_them_skips() -> None:
    model = small_net()
    parts = [torch.optim.SGD(m.parameters(), lr=0.1, fused=True) for m in (model[:2], model[4])]
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    with dt.Recorder(Path("run"), model, optimizer=parts, every=1, strict=True) as recorder:
        for step, (x, y) in enumerate(batches(2)):
            scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
            if step == 1:
                model[0].weight.grad[0, 0, 0, 0] = torch.inf
            for optimizer in parts:
                scaler.step(optimizer)
            scaler.update()
            recorder.step(step)
            for optimizer in parts:
                optimizer.zero_grad()
    assert recorder._sink.dataset("scalars").step_skipped.values.tolist() == [0, 1]
    assert recorder._sink.dataset("layers/dense").nonfinite.values.tolist() == [[0, 0], [1, 0]]
