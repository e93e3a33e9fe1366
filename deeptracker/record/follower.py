"""The part of a rank that helps rank 0 to read sharded parameters: it takes part in all gathers and keeps nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from deeptracker.record.layers import Layer, whole
from deeptracker.record.measure import Measurement, Measurer, Reading


class _NoReading(Reading):
    """In the place of a snapshot."""

    def __init__(self) -> None:
        super().__init__(({}, {}, math.nan), None, {}, lambda *_: None)

    def finish(self) -> tuple[Measurement, Measurement, float]:
        """No numbers."""
        return {}, {}, math.nan


class Follower(Measurer):
    """In the place of ``Measurer``, and in step with it."""

    def _hold(self, initial: Sequence[Any]) -> None:
        self._take_part(self._turns, _weight)

    def read_gradients(self, layers: Sequence[int], scale: float | torch.Tensor | None = None) -> None:
        """Take part."""
        self._take_part(layers, _gradient)

    def forget_gradients(self) -> None:
        """Nothing."""

    def read_weights(self) -> None:
        """Take part."""
        self._take_part(self._turns, _weight)

    def standard(self) -> Reading:
        """Take part; no numbers."""
        self._normalisations()
        return _NoReading()

    def restart(self, initial: Sequence[Any]) -> None:
        """Nothing."""

    def gradients(self, layers: Sequence[int], scale: float | torch.Tensor | None = None) -> dict[int, Any]:
        """Take part; no numbers, but the same layers: what was read already is not asked for again."""
        self._take_part(layers, _gradient)
        return dict.fromkeys(layers)

    def full(self, gradients: Mapping[int, Any]) -> tuple[Measurement, Measurement]:
        """Take part; no numbers."""
        self._take_part(self._turns, _weight)
        return {}, {}

    def _take_part(self, layers: Sequence[int], tensor: Callable[[Layer], torch.Tensor | None]) -> None:
        for i in self._in_turn(layers):
            if (mine := tensor(self.description.layers[i])) is not None:
                whole(mine.detach())


def _gradient(layer: Layer) -> torch.Tensor | None:
    return layer.parameter.grad


def _weight(layer: Layer) -> torch.Tensor | None:
    return layer.parameter


__all__ = ["Follower"]
