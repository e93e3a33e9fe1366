"""A training that can be stopped at a step, kept, and gone on with: alike, in another order, or with a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from deeptracker.demo.images import Images
from deeptracker.recording import Recorder
from deeptracker.testing.faults import Fault
from deeptracker.trials.settings import BATCH, CLASSES, VALIDATE_EVERY, Schedule, Setting


class Course:
    """A training of a setting, every step recorded.

    Parameters
    ----------
    setting : what is trained, and how.
    seed : of the weights.
    images : training and validation images.
    """

    def __init__(self, setting: Setting, seed: int, images: tuple[Images, Images]) -> None:
        self._setting, self._images = setting, images
        torch.manual_seed(seed)
        self.model = setting.build(images[0].x.shape[1])
        self._optimizer = setting.optimizer(self.model)
        self._step = 0
        self._rate: float | None = None

    def save(self, path: Path) -> None:
        """All that the training needs to go on: weights, the optimizer's memory, the step."""
        state = {"model": self.model.state_dict(), "optimizer": self._optimizer.state_dict(),
                 "step": self._step, "rate": self._rate}  # fmt: skip
        torch.save(state, path)

    def load(self, path: Path) -> None:
        """Go on from what ``save`` kept."""
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._step, self._rate = state["step"], state["rate"]

    def run(self, path: Path, until: int, *, order: int, rate: Schedule, fault: Fault) -> None:
        """Train up to step ``until``, not included, and record into ``path``.

        Parameters
        ----------
        order : seeds the order of the images; the batch of a step is the same wherever the training was begun.
        """
        training, validation = self._images
        model, optimizer = self.model, self._optimizer
        batches = _Order(order, len(training.y))
        with Recorder(
            path, model, optimizer=optimizer, every=1, full_every=60, probe=validation.x[:96], probe_every=20
        ) as recorder:
            recorder.images(target=validation.y.numpy(), classes=CLASSES)
            for step in range(self._step, until):
                self._set_rate(rate(step))
                fault.before_step(step, model, optimizer)
                chosen = fault.order(step, batches.at(step), training.y)
                x, y = fault.batch(step, training.x[chosen], training.y[chosen])
                loss = nn.functional.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                fault.gradients(step, model, optimizer)
                norms = [parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None]
                if bool(torch.stack(norms).isfinite().all()):  # the usual guard
                    optimizer.step()
                recorder.step(step, loss=loss, batch_ids=chosen, batch_labels=y)
                if step % VALIDATE_EVERY == 0:
                    seen = fault.validation(step, validation.x, validation.y)
                    recorder.validate(step, [(seen, validation.y)])
        self._step = until

    def _set_rate(self, rate: float) -> None:
        """By a factor, so that what a fault did to the rate stays."""
        factor = rate if self._rate is None else rate / self._rate
        self._rate = rate
        for group in self._optimizer.param_groups:
            group["lr"] *= factor


class _Order:
    """Shuffled batches of positions: those of any step, whichever came before."""

    def __init__(self, seed: int, images: int) -> None:
        self._seed, self._images, self._epoch = seed, images, -1
        self._shuffled = torch.empty(0, dtype=torch.int64)

    def at(self, step: int) -> torch.Tensor:
        """The positions of one batch."""
        epoch, place = divmod(step, self._images // BATCH)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(1_000_003 * self._seed + epoch)
            self._epoch, self._shuffled = epoch, torch.randperm(self._images, generator=generator)
        return self._shuffled[place * BATCH : (place + 1) * BATCH]


__all__ = ["Course"]
