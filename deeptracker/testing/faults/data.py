"""Faults of the data: of batches, labels, their order, and the validation images."""

from __future__ import annotations

import numpy as np
import torch

from deeptracker.testing.faults.fault import Fault

Batch = tuple[torch.Tensor, torch.Tensor]


class BadBatch(Fault):
    """One batch is noise with shuffled labels."""

    kind = "bad-batch"

    def draw(self, start: int) -> None:
        self._gain = float(self.rng.uniform(2, 4))
        self.begins(start, start, strength={"gain": self._gain})

    def batch(self, step: int, x: torch.Tensor, y: torch.Tensor) -> Batch:
        if not self.active(step):
            return x, y
        noise = self.rng.standard_normal(x.shape).astype(np.float32) * self._gain
        return torch.from_numpy(noise).to(x), y[torch.from_numpy(self.rng.permutation(len(y))).to(y.device)]


class LabelFlip(Fault):
    """Labels of one class are those of another, for some tens of steps."""

    kind = "label-flip"

    def draw(self, start: int) -> None:
        names = self.ground.classes
        self._from, self._to = (int(c) for c in self.rng.choice(len(names), 2, replace=False))
        end = start + int(self.rng.integers(24, 41)) - 1
        self.begins(start, end, classes=(names[self._from], names[self._to]))

    def batch(self, step: int, x: torch.Tensor, y: torch.Tensor) -> Batch:
        return x, torch.where(y == self._from, self._to, y) if self.active(step) else y


class Duplicates(Fault):
    """Batches hold a few images many times over, for some tens of steps."""

    kind = "duplicates"

    def draw(self, start: int) -> None:
        self._distinct = int(self.rng.integers(2, 7))
        end = start + int(self.rng.integers(20, 61)) - 1
        self.begins(start, end, strength={"distinct": float(self._distinct)})

    def order(self, step: int, chosen: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return chosen[torch.arange(len(chosen)) % self._distinct] if self.active(step) else chosen


class ClassWithheld(Fault):
    """No image of one class, for some hundred steps: images of others stand in its place."""

    kind = "class-withheld"

    def draw(self, start: int) -> None:
        self._class = self.one_class()
        end = start + int(self.rng.integers(60, 151)) - 1
        self.begins(start, end, classes=(self.ground.classes[self._class],))

    def order(self, step: int, chosen: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if not self.active(step):
            return chosen
        there = target[chosen] != self._class
        others = chosen[there]
        return torch.where(there, chosen, others[torch.from_numpy(self.rng.integers(len(others), size=len(chosen)))])


class ClassSorted(Fault):
    """The loader gives class after class, for some tens of steps."""

    kind = "class-sorted"

    def draw(self, start: int) -> None:
        self._steps = int(self.rng.integers(30, 61))
        self.begins(start, start + self._steps - 1, strength={"steps": float(self._steps)})

    def order(self, step: int, chosen: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if not self.active(step):
            return chosen
        sorted_ = torch.argsort(target, stable=True)
        # Spread over the steps of the fault, so that all classes come in turn.
        part = len(sorted_) / self._steps
        at = int((step - (self.truth.iteration or 0)) * part)
        among = sorted_[at : at + max(int(part), 1)]
        return among[torch.from_numpy(self.rng.integers(len(among), size=len(chosen)))]


class InputShift(Fault):
    """Inputs arrive with another scale and offset from a step on, as when their normalisation was changed."""

    kind = "input-shift"

    def draw(self, start: int) -> None:
        self._scale, self._offset = float(self.rng.uniform(1.5, 3)), float(self.rng.uniform(0.5, 1.5))
        end = start + int(self.rng.integers(40, 121)) - 1
        self.begins(start, end, strength={"scale": self._scale, "offset": self._offset})

    def batch(self, step: int, x: torch.Tensor, y: torch.Tensor) -> Batch:
        return (x * self._scale + self._offset, y) if self.active(step) else (x, y)


class ValidationImages(Fault):
    """Validation images of one class are covered by noise from a pass on; the training is as it was."""

    kind = "validation-images"

    def draw(self, start: int) -> None:
        self._class, self._gain = self.one_class(), float(self.rng.uniform(1, 3))
        self._noise: torch.Tensor | None = None
        self.begins(start, None, classes=(self.ground.classes[self._class],), strength={"gain": self._gain})

    def validation(self, step: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if not self.active(step):
            return x
        if self._noise is None:  # the same at every pass: files were damaged, not the reader
            self._noise = torch.from_numpy(self.rng.standard_normal(x.shape).astype(np.float32)) * self._gain
        mine = (y == self._class).reshape(-1, *[1] * (x.dim() - 1))
        return torch.where(mine, x + self._noise.to(x), x)


__all__ = [
    "BadBatch",
    "ClassSorted",
    "ClassWithheld",
    "Duplicates",
    "InputShift",
    "LabelFlip",
    "ValidationImages",
]
