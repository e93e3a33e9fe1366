"""Faults that are planted in a real training, to see whether the analysis finds them.

Each fault draws its time, place and strength from its own generator, so that the training's random numbers are those
of its clean twin. What was drawn (the truth) is for the caller to keep; nothing of it reaches the recorder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from deeptracker.errors import InputError

FAULTS = ("dead-filters", "bad-batch", "label-flip", "lr-spike", "none")


@dataclass(frozen=True, slots=True)
class Truth:
    """What was planted: the first faulty step, the last one, and where."""

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


class PlantedFault:
    """One fault, to be asked at every step of a training loop, before the forward pass.

    Parameters
    ----------
    kind : one of ``FAULTS``.
    seed : seeds time, place and strength.
    window : the first faulty step is drawn from [window[0], window[1]).
    classes : names of the classes, for faults of labels.
    sites : (layer, normalisation) names whose filters can be made dead: normalisation, then directly a ReLU.
    """

    def __init__(
        self,
        kind: str,
        seed: int,
        window: tuple[int, int],
        *,
        classes: Sequence[str],
        sites: Sequence[tuple[str, str]] = (),
    ) -> None:
        if kind not in FAULTS:
            raise InputError(f"fault {kind!r} is unknown: choose one of {', '.join(FAULTS)}")
        self._rng = rng = np.random.default_rng([seed, FAULTS.index(kind)])
        self._sites = list(sites)
        self._rates: list[float] | None = None
        self._pair = (0, 0)
        self._site = ("", "")
        start = int(rng.integers(*window))
        if kind == "none":
            self.truth = Truth(kind, seed)
        elif kind == "dead-filters":
            self._site = self._sites[int(rng.integers(len(self._sites)))]
            self._share = float(rng.uniform(0.25, 0.5))
            self.truth = Truth(kind, seed, start, None, (self._site[0],), strength={"share": self._share})
        elif kind == "bad-batch":
            self._gain = float(rng.uniform(2, 4))
            self.truth = Truth(kind, seed, start, start, strength={"gain": self._gain})
        elif kind == "label-flip":
            a, b = (int(c) for c in rng.choice(len(classes), 2, replace=False))
            self._pair = (a, b)
            end = start + int(rng.integers(24, 41)) - 1
            self.truth = Truth(kind, seed, start, end, classes=(classes[a], classes[b]))
        else:
            self._factor = float(rng.uniform(8, 15))
            end = start + int(rng.integers(3, 9)) - 1
            self.truth = Truth(kind, seed, start, end, strength={"factor": self._factor})

    def active(self, step: int) -> bool:
        """Whether the fault acts at this step."""
        first, last = self.truth.iteration, self.truth.end
        return first is not None and step >= first and (last is None or step <= last)

    def before_step(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Change the model or the optimizer, where this fault does so."""
        if self.truth.fault == "dead-filters" and step == self.truth.iteration:
            self._kill(model)
        if self.truth.fault == "lr-spike":
            self._spike(step, optimizer)

    def batch(self, step: int, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch as the faulty training sees it."""
        if not self.active(step):
            return x, y
        if self.truth.fault == "bad-batch":
            noise = self._rng.standard_normal(x.shape).astype(np.float32) * self._gain
            return torch.from_numpy(noise).to(x), y[torch.from_numpy(self._rng.permutation(len(y))).to(y.device)]
        if self.truth.fault == "label-flip":
            return x, torch.where(y == self._pair[0], self._pair[1], y)
        return x, y

    def _kill(self, model: nn.Module) -> None:
        """Shift the normalisation's β until the ReLU after it passes nothing."""
        normalisation = model.get_submodule(self._site[1])
        bias, gain = normalisation.bias, normalisation.weight
        assert isinstance(bias, torch.Tensor)
        assert isinstance(gain, torch.Tensor)
        count = max(3, round(self._share * bias.numel()))
        channels = np.sort(self._rng.choice(bias.numel(), count, replace=False))
        self.truth = Truth(**{**self.truth.to_json(), "channels": tuple(int(c) for c in channels)})
        with torch.no_grad():
            bias[channels] = -8 * gain[channels].abs() - 1

    def _spike(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        if self.active(step) and self._rates is None:
            self._rates = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] *= self._factor
        elif not self.active(step) and self._rates is not None:
            for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate
            self._rates = None
