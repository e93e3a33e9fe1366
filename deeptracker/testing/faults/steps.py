"""Faults of the optimizer's steps: learning rate, gradients on their way, the optimizer's memory."""

from __future__ import annotations

import torch
from torch import nn

from deeptracker.testing.faults.fault import Fault, Optimizer, parameters


class RateSpike(Fault):
    """The learning rate is some ten times what it was, for a few steps."""

    kind = "lr-spike"

    def draw(self, start: int) -> None:
        self._factor = float(self.rng.uniform(8, 15))
        self._rates: list[float] | None = None
        end = start + int(self.rng.integers(3, 9)) - 1
        self.begins(start, end, strength={"factor": self._factor})

    def before_step(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if self.active(step) and self._rates is None:
            self._rates = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] *= self._factor
        elif not self.active(step) and self._rates is not None:
            for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate
            self._rates = None


class NonFinite(Fault):
    """Gradients of one layer overflow for a few steps; a training guards against it by leaving out such steps."""

    kind = "non-finite"

    def draw(self, start: int) -> None:
        end = start + int(self.rng.integers(1, 6)) - 1
        self.begins(start, end, layers=(self.one_layer(),))

    def gradients(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if not self.active(step):
            return
        for parameter in parameters(model, self.truth.layers[0]):
            if parameter.grad is not None:
                some = torch.from_numpy(self.rng.random(parameter.shape) < 0.1)
                some.view(-1)[0] = True
                parameter.grad[some.to(parameter.device)] = float("inf")


class Underflow(Fault):
    """Gradients pass through half precision with too small a scale, and most of them become zero."""

    kind = "underflow"

    def draw(self, start: int) -> None:
        self._lost = float(self.rng.uniform(0.5, 0.95))
        self._scale: float | None = None
        end = start + int(self.rng.integers(60, 151)) - 1
        self.begins(start, end, strength={"lost": self._lost})

    def gradients(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if not self.active(step):
            return
        there = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        if self._scale is None:  # so that the share of zeros that was drawn comes of the first such gradients
            sizes = torch.cat([gradient.abs().flatten() for gradient in there])
            limit = torch.finfo(torch.float16).smallest_normal * 2**-11  # half of the smallest number of all
            self._scale = limit / float(torch.quantile(sizes[torch.linspace(0, len(sizes) - 1, 10_000).long()],
                                                       self._lost).clamp_min(1e-30))  # fmt: skip
        for gradient in there:
            gradient.copy_((gradient * self._scale).half().float() / self._scale)


class RateDrop(Fault):
    """The learning rate drops, and that is all: the control of ``MomentumReset``."""

    kind = "lr-drop"

    def draw(self, start: int) -> None:
        self._factor = float(self.rng.uniform(0.1, 0.3))
        self.begins(start, None, strength={"factor": self._factor})

    def before_step(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if self.at_start(step):
            for group in optimizer.param_groups:
                group["lr"] *= self._factor


class MomentumReset(RateDrop):
    """The learning rate drops, and the optimizer's memory is lost with it."""

    kind = "momentum-reset"

    def before_step(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        super().before_step(step, model, optimizer)
        if self.at_start(step):
            optimizer.state.clear()


class StateLost(Fault):
    """The training is resumed without the optimizer's memory."""

    kind = "state-lost"

    def draw(self, start: int) -> None:
        self.begins(start, start)

    def before_step(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if self.at_start(step):
            optimizer.state.clear()


class StaleGradients(Fault):
    """Every step is made with the gradients of the one before, for some tens of steps."""

    kind = "stale-gradients"

    def draw(self, start: int) -> None:
        self._kept: list[torch.Tensor | None] | None = None
        end = start + int(self.rng.integers(20, 61)) - 1
        self.begins(start, end)

    def gradients(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if not self.active(step):
            return
        there = list(model.parameters())
        fresh = [None if p.grad is None else p.grad.clone() for p in there]
        for parameter, stale in zip(there, self._kept or fresh, strict=True):
            if parameter.grad is not None and stale is not None:
                parameter.grad.copy_(stale)
        self._kept = fresh


__all__ = [
    "MomentumReset",
    "NonFinite",
    "RateDrop",
    "RateSpike",
    "StaleGradients",
    "StateLost",
    "Underflow",
]
