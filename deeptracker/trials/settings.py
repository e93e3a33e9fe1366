"""Trainings in which faults are planted: a net, its optimizer, its schedule, and where it can be hurt."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from deeptracker.testing.faults import FAULTS, Ground
from deeptracker.testing.resnet import SmallResNet

CLASSES = [str(digit) for digit in range(10)]
BATCH = 64
VALIDATE_EVERY = 10

Schedule = Callable[[int], float]
"""Step → learning rate."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One way of training.

    Parameters
    ----------
    build : the net, from torch's random numbers, for images of so many bands.
    optimizer : of the net's parameters; its rate is set by ``rate``.
    rate : the schedule of the trainings that are forked.
    clean : schedules of the clean runs, in turn.
    lacks : kinds of faults that cannot be planted.
    """

    name: str
    words: str
    build: Callable[[int], nn.Module]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    rate: Schedule
    clean: tuple[Schedule, ...]
    ground: Ground
    lacks: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of faults that can be planted."""
        return tuple(kind for kind in FAULTS if kind not in self.lacks)


def steady(peak: float, *drops: int, factor: float = 0.2) -> Schedule:
    """``peak``, less at each of the drops."""
    return lambda step: peak * factor ** sum(step >= drop for drop in drops)


def cosine(peak: float, warm_up: int, steps: int, floor: float = 0.02) -> Schedule:
    """Linear warm-up, then half a cosine down to ``floor`` of the peak."""

    def rate(step: int) -> float:
        if step < warm_up:
            return peak * (step + 1) / (warm_up + 1)
        along = min((step - warm_up) / (steps - warm_up), 1.0)
        return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * along)) / 2)

    return rate


class Plain(nn.Module):
    """Four convolutions with biases and without normalisation, and two linear layers."""

    def __init__(self, bands: int = 1, widths: tuple[int, ...] = (12, 16, 24, 32)) -> None:
        super().__init__()
        self.widths = widths
        before = bands
        for number, width in enumerate(widths, 1):
            self.add_module(f"conv{number}", nn.Conv2d(before, width, 3, 2 if number in (1, 3) else 1, 1))
            before = width
        self.hidden = nn.Linear(before * 9, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images × bands × rows × columns → images × classes."""
        for number in range(1, len(self.widths) + 1):
            x = torch.relu(getattr(self, f"conv{number}")(x))
        x = nn.functional.adaptive_avg_pool2d(x, 3).flatten(1)
        return self.out(torch.relu(self.hidden(x)))


class Stacked(nn.Module):
    """Convolutions with batch normalisation one after another, pooled in between (after VGG), and a linear layer."""

    def __init__(self, bands: int = 1, widths: tuple[int, ...] = (12, 24, 24, 40)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = bands
        for number, width in enumerate(widths):
            layers += [nn.Conv2d(before, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            if number < 3:
                layers.append(nn.MaxPool2d(2))
            before = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images × bands × rows × columns → images × classes."""
        return self.classifier(self.features(x).mean((2, 3)))


def _sgd(decay: float, nesterov: bool = False) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.SGD(
        model.parameters(), lr=1.0, momentum=0.9, weight_decay=decay, nesterov=nesterov
    )


def _adamw(decay: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=decay)


_RESIDUAL_SITES = [("conv1", "bn1"), *((f"layer{n}.0.conv1", f"layer{n}.0.bn1") for n in (1, 2, 3))]
_PLAIN_SITES = [(f"conv{n}", f"conv{n}") for n in (1, 2, 3, 4)]
_STACKED_SITES = [("features.0", "features.1"), ("features.4", "features.5"), ("features.8", "features.9"),
                  ("features.12", "features.13")]  # fmt: skip


def _ground(sites: list[tuple[str, str]], decay: float) -> Ground:
    return Ground(CLASSES, sites, [layer for layer, _ in sites], decay)


TUNED = "residual"
"""The one that rules and levels were tuned on; the others are for the test."""

SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(
            "residual", "residual net with batch normalisation, SGD, one drop",
            lambda bands: SmallResNet(bands=bands, widths=(8, 16, 32)), _sgd(5e-4), steady(0.02, 300),
            (steady(0.02, 300), cosine(0.03, 60, 1000), steady(0.02, 400, 700, factor=0.3)),
            _ground(_RESIDUAL_SITES, 5e-4),
        ),
        Setting(
            "plain", "convolutions without normalisation, AdamW, warm-up and cosine",
            Plain, _adamw(0.02), cosine(2e-3, 50, 1000),
            (cosine(2e-3, 50, 1000), steady(1e-3, 500), cosine(3e-3, 100, 1200)),
            _ground(_PLAIN_SITES, 0.02), lacks=("normalisation",),
        ),
        Setting(
            "stacked", "stacked convolutions with batch normalisation, Nesterov SGD, two drops",
            Stacked, _sgd(1e-3, nesterov=True), steady(0.03, 150, 350, factor=0.4),
            (steady(0.03, 150, 350, factor=0.4), cosine(0.04, 80, 1000), steady(0.03, 450)),
            _ground(_STACKED_SITES, 1e-3),
        ),
    )
}  # fmt: skip


__all__ = ["BATCH", "CLASSES", "SETTINGS", "TUNED", "VALIDATE_EVERY", "Setting", "cosine", "steady"]
