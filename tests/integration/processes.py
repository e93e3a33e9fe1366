"""Two real processes of a distributed training, joined by gloo over a file: what the tests of it share."""

from __future__ import annotations

import json
import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.utils.data import TensorDataset

RANKS = 2
STEPS = 4
IMAGES = 13  # odd: a sampler gives one image twice
Work = Callable[[int, Path], dict[str, Any]]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(6 * 64, 3),
    )  # fmt: skip


def batch(step: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(10 * step + rank)
    return torch.randn(4, 1, 8, 8, generator=generator), torch.randint(0, 3, (4,), generator=generator)


def images() -> TensorDataset:
    generator = torch.Generator().manual_seed(99)
    return TensorDataset(torch.randn(IMAGES, 1, 8, 8, generator=generator), torch.arange(IMAGES) % 3)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, recorder: Any, steps: range = range(STEPS)) -> None:
    """Every rank on its own batches."""
    for step in steps:
        x, y = batch(step, distributed.get_rank())
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recorder.step(step, loss=loss)


def by_hand(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[dict[str, torch.Tensor]]:
    """The same training in one process: the average of the ranks' gradients; buffers are those of rank 0."""
    for step in range(STEPS):
        copies = [deepcopy(model) for _ in range(RANKS)]
        for rank, copy in enumerate(copies):
            x, y = batch(step, rank)
            copy.zero_grad()
            nn.functional.cross_entropy(copy(x), y).backward()
        for name, parameter in model.named_parameters():
            parameter.grad = torch.stack([copy.get_parameter(name).grad for copy in copies]).mean(0)
        for name, buffer in model.named_buffers():
            buffer.copy_(copies[0].get_buffer(name))
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        optimizer.step()
        yield gradients


def launch(
    work: Callable[[int, Path], dict[str, Any]], folder: Path, *, may_die: bool = False
) -> list[dict[str, Any]]:
    """Run ``work(rank, folder)`` in ``RANKS`` processes; what each returned, {} where it died."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_child, args=(work, rank, folder)) for rank in range(RANKS)]
    for process in processes:
        process.start()
    deadline = time.monotonic() + 120
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0))
    try:
        assert not any(process.is_alive() for process in processes), "a rank hangs"
    finally:
        for process in processes:
            process.kill()
    errors = sorted(folder.glob("error-*"))
    assert not errors, "\n".join(f"{error.name}: {error.read_text()}" for error in errors)
    said = [folder / f"said-{rank}.json" for rank in range(RANKS)]
    assert may_die or all(path.exists() for path in said)
    return [json.loads(path.read_text()) if path.exists() else {} for path in said]


def _child(work: Work, rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    try:
        with group(rank, folder):
            said = work(rank, folder)
        (folder / f"said-{rank}.json").write_text(json.dumps(said))
    except BaseException:
        (folder / f"error-{rank}").write_text(traceback.format_exc())
        raise


@contextmanager
def group(rank: int, folder: Path) -> Iterator[None]:
    store = distributed.FileStore(str(folder / "store"), RANKS)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    try:
        yield
    finally:
        distributed.destroy_process_group()
