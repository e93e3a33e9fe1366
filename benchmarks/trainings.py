"""The trainings that the benchmarks time, bare or with a recorder or a tracker attached."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn

from deeptracker import Recorder
from deeptracker.testing.resnet import SmallResNet

Hook = Callable[[int, torch.Tensor], None]


@dataclass(frozen=True)
class Training:
    """A net, its batches and the number of steps that one timed training has."""

    name: str
    model: Callable[[], nn.Module]
    batch: Callable[[torch.Generator], tuple[torch.Tensor, torch.Tensor]]
    steps: int


def _three_linear() -> nn.Module:
    width = 4096
    layers = [nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)]
    return nn.Sequential(*layers)


def _resnet20() -> nn.Module:
    return SmallResNet(10, 3, (16, 32, 64), 3, 1)


def _three_conv_three_dense() -> nn.Module:
    """3C3D of the DeepOBS benchmarks, for CIFAR-10: the net on which Cockpit's costs were published."""
    pool = partial(nn.MaxPool2d, 3, 2, 1)
    convolutions = [nn.Conv2d(3, 64, 5), nn.Conv2d(64, 96, 3), nn.Conv2d(96, 128, 3, padding=1)]
    seen = [part for layer in convolutions for part in (layer, nn.ReLU(), pool())]
    dense = [nn.Linear(1152, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)]
    return nn.Sequential(*seen, nn.Flatten(), *dense)


def _pictures(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, 3, 32, 32, generator=generator), torch.randint(0, 10, (count,), generator=generator)


def _vectors(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(32, 4096, generator=generator), torch.randint(0, 4096, (32,), generator=generator)


TRAININGS = {
    "resnet20": Training("ResNet-20, batch 128", _resnet20, partial(_pictures, 128), 40),
    "linear": Training("three linear layers of 4096 × 4096, batch 32", _three_linear, _vectors, 30),
    "3c3d": Training("3C3D, batch 16", _three_conv_three_dense, partial(_pictures, 16), 64),
}


def train(training: Training, attach: Callable[..., contextlib.AbstractContextManager[Hook]]) -> None:
    """One training from scratch, from attaching to detaching."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = training.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    batches = [training.batch(generator) for _ in range(4)]
    with attach(model, optimizer) as after_step:
        for step in range(training.steps):
            x, y = batches[step % len(batches)]
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after_step(step, loss)


@contextmanager
def plain(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Hook]:
    """Nothing attached."""
    yield lambda step, loss: None


def deeptracker(every: int) -> Callable[..., contextlib.AbstractContextManager[Hook]]:
    """Our recorder: every statistic of weights, gradients and updates, per filter and per layer."""

    @contextmanager
    def attach(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Hook]:
        with (
            contextlib.redirect_stderr(io.StringIO()),
            Recorder(_folder() / "run", model, optimizer=optimizer, every=every, strict=True) as recorder,
        ):
            yield lambda step, loss: recorder.step(step, loss=loss)

    return attach


def tensorboard(every: int) -> Callable[..., contextlib.AbstractContextManager[Hook]]:
    """Histograms of every parameter and gradient, as TensorBoard's users write them."""
    from torch.utils.tensorboard import SummaryWriter

    @contextmanager
    def attach(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Hook]:
        writer = SummaryWriter(str(_folder()))

        def after(step: int, loss: torch.Tensor) -> None:
            writer.add_scalar("loss", loss, step)
            if step % every == 0:
                for name, parameter in model.named_parameters():
                    writer.add_histogram(name, parameter, step)
                    writer.add_histogram(f"{name}/grad", parameter.grad, step)

        yield after
        writer.close()

    return attach


def wandb(every: int) -> Callable[..., contextlib.AbstractContextManager[Hook]]:
    """``wandb.watch(log="all")``, offline. Its service runs in a process of its own, whose CPU is not counted."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    import wandb as tracker

    @contextmanager
    def attach(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Hook]:
        run = tracker.init(project="overhead", dir=str(_folder()), mode="offline")
        run.watch(model, log="all", log_freq=every)
        yield lambda step, loss: run.log({"loss": loss.item()})
        run.unwatch(model)
        run.finish()

    return attach


def _folder() -> Path:
    """A new folder. It goes when the benchmark ends: to remove hundreds of files is no part of a training."""
    return Path(tempfile.mkdtemp(dir=_folders()))


@cache
def _folders() -> Path:
    where = tempfile.mkdtemp(prefix="benchmark-")
    atexit.register(shutil.rmtree, where, ignore_errors=True)
    return Path(where)
