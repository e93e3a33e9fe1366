"""The optimizers of a training: their parameter groups, learning rates, and what a loss scaler tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from deeptracker.errors import InputError
from deeptracker.record.hostcopy import HostCopy, number_of
from deeptracker.record.layers import Layer


class Optimizers:
    """One or several optimizers, as one list of parameter groups.

    Raises
    ------
    InputError
        Something given is not a ``torch.optim.Optimizer``.
    """

    def __init__(self, given: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None) -> None:
        several = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
        self.all = [_inner(optimizer) for optimizer in several]

    def rates(self) -> list[float | HostCopy]:
        """Learning rate of every parameter group; one that is a tensor on a device is on its way."""
        return [number_of(group["lr"]) for optimizer in self.all for group in optimizer.param_groups]

    def assign(self, layers: Sequence[Layer]) -> None:
        """Tell each layer the number of its parameter group, −1 where it has none (frozen)."""
        groups = [group["params"] for optimizer in self.all for group in optimizer.param_groups]
        place = {id(parameter): number for number, members in enumerate(groups) for parameter in members}
        for layer in layers:
            layer.lr_group = place.get(id(layer.parameter), -1)

    def layers_of(self, optimizer: torch.optim.Optimizer, layers: Sequence[Layer]) -> list[int]:
        """Positions of the layers that an optimizer updates; for the first one also those that no optimizer does."""
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        others = {id(p) for o in self.all if o is not optimizer for group in o.param_groups for p in group["params"]}
        first = optimizer is self.all[0]
        return [
            i
            for i, layer in enumerate(layers)
            if id(layer.parameter) in mine or (first and id(layer.parameter) not in others)
        ]

    @staticmethod
    def scale(optimizer: torch.optim.Optimizer) -> torch.Tensor | None:
        """What a loss scaler multiplied the gradients by, where the optimizer itself has to divide it out (fused)."""
        scale = getattr(optimizer, "grad_scale", None)
        return scale if isinstance(scale, torch.Tensor) else None

    @staticmethod
    def found_inf(optimizer: torch.optim.Optimizer) -> torch.Tensor | None:
        """Whether the scaler found a non-finite gradient, so that a fused optimizer leaves the weights alone."""
        found = getattr(optimizer, "found_inf", None)
        return found if isinstance(found, torch.Tensor) else None


def either(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
    """Of two flags that may be missing, on any devices: whether one of them is set."""
    return a if b is None else b if a is None else a + b.to(a.device)


def where_set(flag: torch.Tensor | None, value: torch.Tensor | None) -> torch.Tensor | None:
    """``value`` where the flag is set, else one: without asking the device."""
    if flag is None or value is None:
        return None
    return torch.where(flag.to(value.device) > 0, value, torch.ones_like(value))


def _inner(given: Any) -> torch.optim.Optimizer:
    """What a library wrapped in an optimizer of its own (accelerate, Lightning): that one has the hooks."""
    inner = getattr(given, "optimizer", given)
    if not isinstance(inner, torch.optim.Optimizer):
        raise InputError(f"optimizer= takes a torch optimizer or a list of them, not {type(given).__name__}")
    return inner


__all__ = ["Optimizers", "either", "where_set"]
