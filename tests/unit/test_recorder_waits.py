"""A step that is recorded never waits for the device.

In the place of a device stands torch's "meta": its tensors have no values, so that asking for one raises. What goes
to the host as it should, through ``HostCopy``, arrives as ones; what goes the other way is watched.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import deeptracker as dt
from deeptracker.record.hostcopy import HostCopy
from deeptracker.record.layers import Layer
from deeptracker.record.measure import Measurer
from deeptracker.record.segments import SegmentSet
from deeptracker.record.stacked import StackedSet
from deeptracker.testing import MemorySink

pytestmark = pytest.mark.usefixtures("sinks")
META = torch.device("meta")


class Copies(TorchDispatchMode):
    """Finds copies from pageable memory to the device: the host waits for those."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        from_host = any(isinstance(a, torch.Tensor) and a.device.type == "cpu" and a.ndim for a in tree_leaves(args))
        if from_host and isinstance(out, torch.Tensor) and out.device == META:
            assert (kwargs or {}).get("non_blocking"), f"{function} copies to the device and waits"
        return out


class Literals(TorchFunctionMode):
    """Finds Python's numbers and lists that become tensors on the device, which torch copies out of others' sight."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        if function in (torch.tensor, torch.as_tensor, torch.asarray):
            assert isinstance(args[0], torch.Tensor) or out.device != META, f"{args[0]} is copied to the device"
        if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and args[0].device == META:
            indices = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(index, list) for index in indices), f"{indices} is copied to the device"
            assert not any(getattr(index, "dtype", None) == torch.bool for index in indices), "a mask is counted"
        return out


@contextmanager
def watched() -> Iterator[None]:
    with Copies(), Literals():
        yield


class Shrinking(torch.optim.Optimizer):
    """An optimizer as fused ones are with a scaler, whose learning rate lies on the device."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model.parameters(), {"lr": torch.tensor(0.1)})
        self.grad_scale = self.found_inf = torch.ones((), device=META)

    def to(self, model: nn.Module) -> None:
        self.param_groups[0] |= {"params": list(model.parameters()), "lr": torch.tensor(0.1, device=META)}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for parameter in self.param_groups[0]["params"]:
            parameter.mul_(0.9)


@pytest.fixture(params=["ours", "torch"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics on ``META``, by either set; numbers arrive as ones."""

    class NoKernel:
        def __getitem__(self, grid: Any) -> Any:
            return lambda *args, **options: None

    if request.param == "ours":
        kernels = pytest.importorskip("deeptracker.record.kernels")
        for name in ("read_gradients", "read_weights", "combine"):
            monkeypatch.setattr(kernels, name, NoKernel())
    kind = SegmentSet if request.param == "ours" else StackedSet

    def hold(self: Any, initial: Any) -> None:
        self._set = kind(self.description.layers, initial, META)

    def sent(self: Any, tensor: torch.Tensor) -> None:
        self.shape = tuple(tensor.shape)

    monkeypatch.setattr(Measurer, "_hold", hold)
    addresses = itertools.count(1)  # all move all the time, so that they are sent each time
    monkeypatch.setattr(Layer, "address", lambda self, tensor: next(addresses))
    monkeypatch.setattr(HostCopy, "__init__", sent)
    monkeypatch.setattr(HostCopy, "ready", lambda self: True)
    monkeypatch.setattr(HostCopy, "numpy", lambda self: np.ones(self.shape, np.float32))


@pytest.mark.usefixtures("device")
def test_step__never_waits_for_the_device(sinks: dict[Path, MemorySink]) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 2, 2), nn.Flatten(), nn.Linear(98, 5)
    )
    optimizer = Shrinking(model)
    x, labels = torch.empty(2, 3, 8, 8, device=META), torch.zeros(2, dtype=torch.int64, device=META)
    with dt.Recorder(
        Path("run"), model, optimizer=optimizer, every=1, full_every=2, raw="0", raw_every=2, strict=True
    ) as recorder:
        model.to(META)
        optimizer.to(model)
        for step in range(5):
            loss = nn.functional.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            with watched() if step > 0 else nullcontext():  # the first step prepares what comes once
                optimizer.step()
                recorder.step(step, loss=loss, batch_ids=labels, batch_labels=labels)
                recorder.log(step, accuracy=loss)
    assert recorder.faults == 0
    for group in ("filters/dense", "scalars", "batches"):
        assert sinks[Path("run")].dataset(group).sizes["iteration"] == 5
    assert sinks[Path("run")].dataset("filters/full").sizes["iteration"] == 3
