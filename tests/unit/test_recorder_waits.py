"""A step that is recorded never waits for the device.

In the place of a device stands torch's "meta": its tensors have no values, so that asking for one raises. What goes
to the host as it should, through ``HostCopy``, arrives as ones; what goes the other way is watched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import deeptracker as dt
from deeptracker.record.hostcopy import HostCopy
from deeptracker.record.measure import Measurer
from deeptracker.record.segments import SegmentSet
from deeptracker.record.stacked import StackedSet
from deeptracker.testing import MemorySink

pytestmark = pytest.mark.usefixtures("sinks")
META = torch.device("meta")


class Watch(TorchDispatchMode):
    """Finds copies from pageable memory to the device: the host waits for those."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        from_host = any(t.device.type == "cpu" and t.ndim for t in tensors)
        if from_host and isinstance(out, torch.Tensor) and out.device == META:
            assert (kwargs or {}).get("non_blocking"), f"{function} copies to the device and waits"
        return out


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
            with Watch() if step > 0 else torch.no_grad():  # the first step prepares what comes once
                optimizer.step()
                recorder.step(step, loss=loss, batch_ids=labels, batch_labels=labels)
                recorder.log(step, accuracy=loss)
    assert recorder.faults == 0
    for group in ("filters/dense", "scalars", "batches"):
        assert sinks[Path("run")].dataset(group).sizes["iteration"] == 5
    assert sinks[Path("run")].dataset("filters/full").sizes["iteration"] == 3
