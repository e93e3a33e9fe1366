"""A fault that is planted in a real training, to see whether the analysis finds it: what all kinds share.

Each fault draws its time, place and strength from its own generator, so that the training's random numbers are those
of its clean twin. What was drawn (the truth) is for the caller to keep; nothing of it reaches the recorder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

Optimizer = torch.optim.Optimizer


@dataclass(frozen=True, slots=True)
class Truth:
    """What was planted: the first faulty step, the last one (None: it lasts), and where."""

    fault: str
    seed: int
    iteration: int | None = None
    end: int | None = None
    layers: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    strength: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where faults can be planted in a training.

    Parameters
    ----------
    classes : names of the classes.
    sites : (layer, normalisation) names whose filters can be made dead: directly before a ReLU or the like. Where
        nothing normalises, the layer itself, whose bias is taken.
    layers : names of layers with weights, for faults of a whole layer.
    weight_decay : that the optimizer applies.
    """

    classes: Sequence[str]
    sites: Sequence[tuple[str, str]] = ()
    layers: Sequence[str] = ()
    weight_decay: float = 0.0


class Fault:
    """No fault: a training asks it at every step, and a kind does its part in one of the methods.

    Parameters
    ----------
    seed : seeds time, place and strength.
    window : the first faulty step is drawn from [window[0], window[1]).
    ground : of the training.
    number : of the kind, which seeds too.
    """

    kind: ClassVar[str] = "none"

    def __init__(self, seed: int, window: tuple[int, int], ground: Ground, number: int) -> None:
        self.rng = np.random.default_rng([seed, number])
        self.ground = ground
        self.truth = Truth(self.kind, seed)
        start = int(self.rng.integers(*window))
        self.draw(start)

    def draw(self, start: int) -> None:
        """Draw place and strength of a fault that begins at ``start``, and call ``begins``."""

    def begins(self, start: int, end: int | None, **what: Any) -> None:
        """Set the truth."""
        self.truth = Truth(self.kind, self.truth.seed, start, end, **what)

    def active(self, step: int) -> bool:
        """Whether the fault acts at this step."""
        first, last = self.truth.iteration, self.truth.end
        return first is not None and step >= first and (last is None or step <= last)

    def at_start(self, step: int) -> bool:
        """Whether this is its first step."""
        return step == self.truth.iteration

    def order(self, step: int, chosen: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Positions of the training images that make this batch; ``target`` are the labels of all of them."""
        return chosen

    def batch(self, step: int, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch as the faulty training sees it."""
        return x, y

    def before_step(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        """Before the forward pass: change the model or the optimizer."""

    def gradients(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        """Between the backward pass and the optimizer's step: change gradients."""

    def validation(self, step: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The validation images as this pass sees them."""
        return x

    def one_layer(self) -> str:
        """A layer, drawn."""
        return str(self.ground.layers[int(self.rng.integers(len(self.ground.layers)))])

    def one_class(self) -> int:
        """A class, drawn."""
        return int(self.rng.integers(len(self.ground.classes)))


def parameters(model: nn.Module, layer: str) -> list[nn.Parameter]:
    """What is trained of one layer."""
    return list(model.get_submodule(layer).parameters(recurse=False))


__all__ = ["Fault", "Ground", "Optimizer", "Truth", "parameters"]
