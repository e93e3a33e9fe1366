"""In every kind of loop the recorder sees the gradients that the optimizer receives, and changes nothing."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from loops import STEPS, Gradients, Loop, Record, batches, check, now, run, sgd, small_net
from torch import nn

import deeptracker as dt

pytestmark = pytest.mark.usefixtures("sinks")


def accumulating(model: nn.Module, record: Record) -> tuple[list[float], Gradients]:
    losses, gradients, optimizer = [], [], sgd(model)
    with record(optimizer) as recorder:
        for micro, (x, y) in enumerate(batches(3 * STEPS)):
            loss = nn.functional.cross_entropy(model(x), y) / 3
            loss.backward()
            losses.append(loss.item())
            if micro % 3 == 2:
                gradients.append(now(model))
                optimizer.step()
                optimizer.zero_grad()
                recorder.step(micro // 3, loss=loss)
    return losses, gradients


def clipping(model: nn.Module, record: Record) -> tuple[list[float], Gradients]:
    losses, gradients, optimizer = [], [], sgd(model)
    with record(optimizer) as recorder:
        for step, (x, y) in enumerate(batches()):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            gradients.append(now(model))
            optimizer.step()
            recorder.step(step, loss=loss)
            losses.append(loss.item())
    return losses, gradients


def mixed(model: nn.Module, record: Record) -> tuple[list[float], Gradients]:
    losses, gradients, optimizer = [], [], sgd(model)
    with record(optimizer) as recorder:
        for step, (x, y) in enumerate(batches()):
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            gradients.append(now(model))
            optimizer.step()
            recorder.step(step, loss=loss)
            losses.append(loss.item())
    return losses, gradients


def search(model: nn.Module, record: Record) -> tuple[list[float], Gradients]:
    """L-BFGS: the closure is evaluated many times; the first one is at the weights before the step."""
    losses, gradients = [], []
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3, line_search_fn="strong_wolfe")
    with record(optimizer) as recorder:
        for step, (x, y) in enumerate(batches(3)):
            seen = []

            def closure(x: torch.Tensor = x, y: torch.Tensor = y, seen: list[Any] = seen) -> torch.Tensor:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                seen.append(now(model))
                return loss

            loss = optimizer.step(closure)
            assert len(seen) > 1
            gradients.append(seen[0])
            recorder.step(step, loss=loss)
            losses.append(loss.item())
    return losses, gradients


def closing(model: nn.Module, record: Record) -> tuple[list[float], Gradients]:
    """A closure by name, and gradients that are gone before ``recorder.step``."""
    losses, gradients, optimizer = [], [], sgd(model)
    with record(optimizer) as recorder:
        for step, (x, y) in enumerate(batches()):

            def closure(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                gradients.append(now(model))
                return loss

            loss = optimizer.step(closure=closure)
            optimizer.zero_grad()
            recorder.step(step, loss=loss)
            losses.append(loss.item())
    return losses, gradients


def without_optimizer(model: nn.Module, record: Record) -> tuple[list[float], Gradients]:
    losses, gradients, optimizer = [], [], sgd(model)
    with record() as recorder:
        for step, (x, y) in enumerate(batches()):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            gradients.append(now(model))
            optimizer.step()
            recorder.step(step, loss=loss)
            losses.append(loss.item())
    return losses, gradients


def two_optimizers(model: nn.Module, record: Record) -> tuple[list[float], Gradients]:
    losses, gradients = [], []
    first, second = (torch.optim.SGD(m.parameters(), lr=lr) for m, lr in ((model[:2], 0.1), (model[4], 0.2)))
    with record([first, second]) as recorder:
        for step, (x, y) in enumerate(batches()):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            gradients.append(now(model))
            for optimizer in (first, second):
                optimizer.step()
                optimizer.zero_grad()
            recorder.step(step, loss=loss)
            losses.append(loss.item())
    return losses, gradients


def alternating(model: nn.Module, record: Record) -> tuple[list[float], Gradients]:
    """Each step updates one part only; gradients of the other are of no update, whatever lies in ``p.grad``."""
    losses, gradients = [], []
    parts = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model[:2], model[4])]
    with record(parts) as recorder:
        for step, (x, y) in enumerate(batches()):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            name = "04"[step % 2]
            gradients.append({"0": None, "4": None} | {name: now(model)[name]})
            parts[step % 2].step()
            parts[step % 2].zero_grad()
            recorder.step(step, loss=loss)
            losses.append(loss.item())
    return losses, gradients


def several_updates(model: nn.Module, record: Record) -> tuple[list[float], Gradients]:
    """Three updates between two calls of ``recorder.step``: the last one counts."""
    losses, gradients, optimizer = [], [], sgd(model)
    with record(optimizer) as recorder:
        for update, (x, y) in enumerate(batches(3 * STEPS)):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            if update % 3 == 2:
                gradients.append(now(model))
            optimizer.step()
            optimizer.zero_grad()
            if update % 3 == 2:
                recorder.step(update // 3, loss=loss)
            losses.append(loss.item())
    return losses, gradients


LOOPS = [accumulating, clipping, mixed, search, closing, without_optimizer, two_optimizers, alternating,
         several_updates]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_gradients__are_those_that_the_optimizer_receives(loop: Loop) -> None:
    sink, gradients = run(loop)
    check(sink, gradients)
    assert sink.dataset("scalars").step_skipped.values.tolist() == [0] * len(gradients)


def test_copies_of_the_model__carry_no_hook_of_the_recorder(tmp_path) -> None:
    """An average is copied off the model, a checkpoint may hold it whole: both before its first pass."""
    model = small_net()
    with dt.Recorder(tmp_path, model, optimizer=sgd(model), every=1, strict=True) as recorder:
        assert model._forward_hooks
        copy = deepcopy(model)
        torch.save(model, tmp_path / "model.pt")
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        for other in (copy, loaded):
            other(next(batches())[0])
        assert not recorder._snapshots._hooks._seen.order
        assert not recorder._snapshots._hooks.described
        model(next(batches())[0])
        assert recorder._snapshots._hooks.described
    assert not any(module._forward_hooks for module in model.modules())
