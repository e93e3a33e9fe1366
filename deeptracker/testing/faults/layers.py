"""Faults of layers: their weights, their normalisation, what is trained of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from deeptracker.testing.faults.fault import Fault, Optimizer, parameters


class DeadFilters(Fault):
    """Some filters of a layer stop answering: their shift is moved until the nonlinearity passes nothing."""

    kind = "dead-filters"

    def draw(self, start: int) -> None:
        self._site = self.ground.sites[int(self.rng.integers(len(self.ground.sites)))]
        self._share = float(self.rng.uniform(0.25, 0.5))
        self.begins(start, None, layers=(self._site[0],), strength={"share": self._share})

    def before_step(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if not self.at_start(step):
            return
        owner = model.get_submodule(self._site[1])
        bias, gain = owner.bias, owner.weight
        assert isinstance(bias, torch.Tensor)
        assert isinstance(gain, torch.Tensor)
        count = max(3, round(self._share * bias.numel()))
        channels = np.sort(self.rng.choice(bias.numel(), count, replace=False))
        self.begins(
            step,
            None,
            layers=self.truth.layers,
            channels=tuple(int(c) for c in channels),
            strength=self.truth.strength,
        )
        with torch.no_grad():
            # What a normalisation gives is within eight of its scales; a layer's own sum, within that of its weights.
            size = gain[channels].abs() if gain.dim() == 1 else gain[channels].flatten(1).abs().sum(1)
            bias[channels] = -8 * size - 1


class FrozenLayer(Fault):
    """One layer is trained no more: the optimizer passes it by."""

    kind = "frozen-layer"

    def draw(self, start: int) -> None:
        self.begins(start, None, layers=(self.one_layer(),))

    def gradients(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if self.active(step):
            for parameter in parameters(model, self.truth.layers[0]):
                parameter.grad = None


class Decay(Fault):
    """The weights of one layer decay a hundred times as fast."""

    kind = "weight-decay"

    def draw(self, start: int) -> None:
        self.begins(start, None, layers=(self.one_layer(),), strength={"factor": 100.0})

    def gradients(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if not self.active(step):
            return
        more = (self.truth.strength["factor"] - 1) * self.ground.weight_decay
        rate = optimizer.param_groups[0]["lr"]
        with torch.no_grad():
            for parameter in parameters(model, self.truth.layers[0]):
                if isinstance(optimizer, torch.optim.AdamW):  # there it is no part of the gradient
                    parameter.mul_(1 - rate * more)
                elif parameter.grad is not None:
                    parameter.grad.add_(parameter, alpha=more)


class Normalisation(Fault):
    """Normalisations of batches go wrong: they keep the statistics that they had, or those of the last batch only."""

    kind = "normalisation"

    def draw(self, start: int) -> None:
        self._frozen = bool(self.rng.integers(2))
        self.begins(start, None, strength={"frozen": float(self._frozen)})

    def before_step(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if not self.active(step):
            return
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                if self._frozen:
                    module.eval()  # at every step: a validation puts the model back to training
                else:
                    module.momentum = 1.0


class WeightNoise(Fault):
    """Noise is added to the weights of one layer, once, as by memory that went wrong."""

    kind = "weight-noise"

    def draw(self, start: int) -> None:
        self._share = float(self.rng.uniform(0.3, 1))
        self.begins(start, start, layers=(self.one_layer(),), strength={"share": self._share})

    def before_step(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if not self.at_start(step):
            return
        with torch.no_grad():
            for parameter in parameters(model, self.truth.layers[0]):
                if parameter.dim() > 1:
                    noise = torch.from_numpy(self.rng.standard_normal(parameter.shape).astype(np.float32))
                    parameter.add_(noise.to(parameter) * parameter.square().mean().sqrt() * self._share)


__all__ = ["DeadFilters", "Decay", "FrozenLayer", "Normalisation", "WeightNoise"]
