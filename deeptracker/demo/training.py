"""The demo's training: a small residual network on distorted digits, on the processor, every iteration recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from deeptracker.demo.images import Images, load_images
from deeptracker.recording import Recorder
from deeptracker.testing.faults import Ground, Truth, plant
from deeptracker.testing.resnet import SmallResNet

ITERATIONS = 960
BATCH = 64
VALIDATE_EVERY = 10
LEARNING_RATE = 0.02
DROP_AT, DROP_TO = 300, 0.2  # an ordinary drop of the learning rate: a label, not an anomaly
FAULT_WINDOW = (450, 800)
CLASSES = [str(digit) for digit in range(10)]
WIDTHS = (8, 16, 32)
DECAY = 5e-4
SITES = [
    ("conv1", "bn1"),
    *((f"layer{stage}.0.conv1", f"layer{stage}.0.bn1") for stage in range(1, len(WIDTHS) + 1)),
]
GROUND = Ground(CLASSES, SITES, [layer for layer, _ in SITES], DECAY)


def _batches(images: Images, seed: int) -> Iterator[torch.Tensor]:
    """Endless shuffled batches of positions, from a generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(images.y), generator=generator)
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield order[start : start + BATCH]


def train(
    path: Path,
    *,
    fault: str,
    seed: int,
    iterations: int = ITERATIONS,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[Truth, float]:
    """Train, record into ``path``, and return what was planted and the final validation error."""
    training, validation = load_images()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # little is lost, and two that wait for one another take minutes on a busy machine
    try:
        return _train(path, training, validation, fault, seed, iterations, progress)
    finally:
        torch.set_num_threads(threads)


def _train(
    path: Path,
    training: Images,
    validation: Images,
    fault: str,
    seed: int,
    iterations: int,
    progress: Callable[[int, int, float], None] | None,
) -> tuple[Truth, float]:
    torch.manual_seed(seed)
    model = SmallResNet(widths=WIDTHS)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=DECAY)
    planted = plant(fault, seed, FAULT_WINDOW, GROUND)
    batches = _batches(training, seed)
    error = float("nan")
    with Recorder(
        path, model, optimizer=optimizer, every=1, full_every=60, probe=validation.x[:96], probe_every=20
    ) as recorder:
        recorder.images(target=validation.y.numpy(), classes=CLASSES, thumbnails=validation.x[:, 0].numpy())
        for step in range(iterations):
            if step == DROP_AT:
                for group in optimizer.param_groups:
                    group["lr"] *= DROP_TO
            planted.before_step(step, model, optimizer)
            chosen = planted.order(step, next(batches), training.y)
            x, y = planted.batch(step, training.x[chosen], training.y[chosen])
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            planted.gradients(step, model, optimizer)
            if _is_finite(model):
                optimizer.step()
            recorder.step(step, loss=loss)
            if step % VALIDATE_EVERY == 0:
                seen = planted.validation(step, validation.x, validation.y)
                # One batch: a DataLoader would stack its images one by one.
                recorder.validate(step, [(seen, validation.y)])
            if progress is not None:
                progress(step + 1, iterations, float(loss.detach()))
        model.eval()
        with torch.no_grad():
            error = float((model(validation.x).argmax(1) != validation.y).float().mean())
    return planted.truth, error


def _is_finite(model: nn.Module) -> bool:
    """Whether all gradients are: the guard of many trainings, which leave out other steps."""
    norms = [parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None]
    return bool(torch.stack(norms).isfinite().all())
