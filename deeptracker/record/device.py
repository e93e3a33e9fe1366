"""The standard set computed where the weights are: no layer makes the host wait, one copy goes to it.

Two ways lead to the same accumulators. ``segments.SegmentSet`` reads all layers in one launch through a table of
their addresses; it serves on a CUDA device, where torch brings Triton. ``stacked.StackedSet`` is made of torch's own
operations and serves everywhere else: some launches and temporaries for each size of filter. ``segments.set_on``
chooses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from deeptracker.record.hostcopy import HostCopy
from deeptracker.record.layers import Layer
from deeptracker.statistics import GRADIENT, WEIGHT, no_gradients, rows_of

Array = np.ndarray[Any, Any]
Tensor = torch.Tensor
Named = dict[str, Array]


class OnTheWay:
    """Accumulators that are being copied to the host.

    Parameters
    ----------
    table : (filters, ``WEIGHT`` and ``GRADIENT``) float64; it may be written to again at once, in the stream's order.
    first : first filter of each layer.
    read : (filters,) whether the gradients of a filter were read; else they are NaN.
    has_previous : see ``statistics.derive``.
    """

    def __init__(self, table: Tensor, first: Array, read: Array, has_previous: bool) -> None:
        self._copy = HostCopy(table)
        self._first, self._read, self._has_previous = first, read, has_previous

    def ready(self) -> bool:
        """Whether ``finish`` would not wait."""
        return self._copy.ready()

    def finish(self) -> tuple[Named, Named, float]:
        """Statistics per filter and per layer, and the norm of all gradients."""
        table = self._copy.numpy()
        weights = np.ascontiguousarray(table[:, : len(WEIGHT)])
        gradients = None
        if self._read.any():
            gradients = np.ascontiguousarray(table[:, len(WEIGHT) :])
            gradients[~self._read] = no_gradients(1)
        return rows_of(weights, gradients, self._first, has_previous=self._has_previous)


class DeviceSet(ABC):
    """What ``statistics.StandardSet`` is for arrays, for tensors on one device; the same accumulators.

    Parameters
    ----------
    layers : of the model; their parameters lie on ``device``.
    initial : weights at construction, one host array of filters × weights a layer.
    """

    def __init__(self, layers: Sequence[Layer], initial: Sequence[Array], device: torch.device) -> None:
        sizes = np.array([layer.filters for layer in layers])
        self.first = (np.cumsum(sizes) - sizes).astype(np.intp)
        self._layers, self._sizes, self._device = list(layers), sizes, device
        self._widths = [rows.shape[1] for rows in initial]
        total = int(sizes.sum())
        self._table = torch.zeros((total, len(WEIGHT) + len(GRADIENT)), dtype=torch.float64, device=device)
        self._read = np.zeros(total, bool)
        self._have_previous = False

    def forget_gradients(self) -> None:
        """Gradients that were read belong to no record after all."""
        self._read[:] = False

    def _have_read(self, layers: Iterable[int]) -> None:
        for layer in layers:
            self._read[self.first[layer] : self.first[layer] + self._sizes[layer]] = True

    @abstractmethod
    def set_initial(self, initial: Sequence[Array]) -> None:
        """Count rotation from other initial weights."""

    @abstractmethod
    def gradients(
        self, given: Sequence[Tensor | None], layers: Sequence[int], scale: float | Tensor | None = None
    ) -> None:
        """Accumulate over the gradients of some layers' parameters; None leaves NaN.

        ``scale`` is what a loss scaler multiplied them by: the statistics are of the gradients without it.
        """

    @abstractmethod
    def weights(self, given: Sequence[Tensor]) -> None:
        """Accumulate over the parameters of all layers, and keep them as the previous ones."""

    def derive(self) -> OnTheWay:
        """What was read last, sent on its way."""
        self._complete()
        had, self._have_previous = self._have_previous, True
        on_the_way = OnTheWay(self._table, self.first, self._read.copy(), had)
        self.forget_gradients()
        return on_the_way

    @abstractmethod
    def _complete(self) -> None:
        """Bring the table up to date."""

    def _scale(self, scale: float | Tensor) -> Tensor:
        """As (1,) float64 on the device; copying a number from the host's memory would wait for the device."""
        if isinstance(scale, Tensor):
            return scale.detach().to(self._device, torch.float64, non_blocking=True).reshape(1)
        return torch.full((1,), scale, dtype=torch.float64, device=self._device)


__all__ = ["DeviceSet", "OnTheWay"]
