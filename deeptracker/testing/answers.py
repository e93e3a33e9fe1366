"""Answers of a simulated network to validation images: hard and easy ones, learning curves, flips, bad moments."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deeptracker.testing.plan import Plan


@dataclass
class Answers:
    """State of the answers between two passes.

    Parameters
    ----------
    target : class of each image, ascending.
    classes : number of classes.
    rng : every draw comes from it.
    """

    target: npt.NDArray[np.int32]
    classes: int
    rng: np.random.Generator
    difficulty: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        rng, n = self.rng, len(self.target)
        self.difficulty = rng.gumbel(0, 0.7, n) + rng.normal(0, 0.3, self.classes)[self.target]
        # Each image has its own favourite mistake, and classes have neighbours that they are taken for.
        neighbour = (np.arange(self.classes) + rng.integers(1, max(2, self.classes), self.classes)) % self.classes
        other = (self.target + rng.integers(1, max(2, self.classes), n)) % self.classes
        self.mistake = np.where(rng.random(n) < 0.6, neighbour[self.target], other).astype(np.int16)
        self.mood = rng.normal(0, 0.5, n)
        self.class_mood = np.zeros(self.classes)

    def answer(self, number: int, plan: Plan) -> dict[str, npt.NDArray[np.generic]]:
        """One pass: ``predicted`` int16, ``correct`` int8, ``loss`` float16, each (images,)."""
        rng, n = self.rng, len(self.target)
        iteration = float(plan.passes[number])
        share = iteration / max(1, plan.iterations)
        drops = sum(iteration >= at for at in plan.rate_drops)
        skill = 2.2 * (1 - np.exp(-6 * share)) - 0.6 + 0.7 * drops
        restless = (1.0, 0.5, 0.35)[drops]
        self.mood = 0.9 * self.mood + restless * 0.3 * rng.standard_normal(n)
        self.class_mood = 0.6 * self.class_mood + restless * 0.3 * rng.standard_normal(self.classes)
        shake = restless * 0.15 * rng.standard_t(5)
        margin = skill - self.difficulty + self.mood + self.class_mood[self.target] + shake
        margin += restless * 0.2 * rng.standard_normal(n)
        for hit in plan.drops.get(number, []):
            margin = np.where((self.target == hit) & (rng.random(n) < 0.8), margin - 4.0, margin)
        correct = margin > 0
        predicted = np.where(correct, self.target, self.mistake).astype(np.int16)
        loss = np.logaddexp(0, -2.5 * margin) * np.where(correct, 1.0, 1.0) + 1e-4
        return {
            "predicted": predicted,
            "correct": (predicted == self.target).astype(np.int8),
            "loss": loss.astype(np.float16),
        }


def thumbnails(target: npt.NDArray[np.int32], classes: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(image, 16, 16, 3) uint8 pictures: a wave whose direction is the class, with its own phase, size and noise."""
    n, axis = len(target), np.arange(16) / 16
    angle = np.pi * target / max(1, classes)
    frequency, phase = rng.uniform(1.5, 3.0, n), rng.uniform(0, 2 * np.pi, n)
    along = (
        np.cos(angle)[:, None, None] * axis[None, None, :] + np.sin(angle)[:, None, None] * axis[None, :, None]
    ) * frequency[:, None, None]
    wave = np.sin(2 * np.pi * along + phase[:, None, None])[..., None]
    tint = 0.5 + 0.5 * np.cos(angle[:, None, None, None] * 2 + np.array([0.0, 2.1, 4.2]))
    noisy = 128 + 90 * wave * tint + 15 * rng.standard_normal((n, 16, 16, 3))
    return noisy.clip(0, 255).astype(np.uint8)
