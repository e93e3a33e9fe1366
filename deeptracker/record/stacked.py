"""The standard set by torch's own operations, on any device.

Layers whose filters have equally many weights are stacked and reduced together, so the number of launches follows
the number of different filter sizes, not that of layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deeptracker.record.device import DeviceSet
from deeptracker.record.layers import Layer
from deeptracker.statistics import GRADIENT, WEIGHT

Array = np.ndarray[Any, Any]
Tensor = torch.Tensor

_POWER = {"sum": 1, "norm1": 1, "square": 2, "min": 1, "max": 1}


class StackedSet(DeviceSet):
    """A ``DeviceSet`` for every device, and the reference for the other."""

    def __init__(self, layers: Sequence[Layer], initial: Sequence[Array], device: torch.device) -> None:
        super().__init__(layers, initial, device)
        everything = range(len(layers))
        self._stacks = self._by_width(everything)
        self._initial = self._stacked([torch.from_numpy(rows) for rows in initial], everything)
        self._previous = self._stacked([layer.on_device(layer.parameter) for layer in layers], everything)
        self._powers = torch.tensor([-_POWER.get(name, 0) for name in GRADIENT], device=device)
        self._of_weights, self._of_gradients = self._table[:, : len(WEIGHT)], self._table[:, len(WEIGHT) :]
        self._indices: dict[tuple[int, ...], Tensor] = {}

    def _by_width(self, layers: Sequence[int]) -> dict[int, list[int]]:
        stacks: dict[int, list[int]] = defaultdict(list)
        for layer in layers:
            stacks[self._widths[layer]].append(layer)
        return dict(stacks)

    def _stacked(self, rows: Sequence[Tensor], layers: Sequence[int]) -> dict[int, Tensor]:
        place = {layer: i for i, layer in enumerate(layers)}
        return {
            width: torch.cat([rows[place[m]].to(self._device, torch.float32) for m in members])
            for width, members in self._by_width(layers).items()
        }

    def _index(self, members: Sequence[int]) -> Tensor:
        """Filters of some layers on the filter axis."""
        key = tuple(members)
        if key not in self._indices:
            parts = [np.arange(self.first[m], self.first[m] + self._sizes[m]) for m in members]
            self._indices[key] = torch.from_numpy(np.concatenate(parts)).to(self._device)
        return self._indices[key]

    def set_initial(self, initial: Sequence[Array]) -> None:
        """Count rotation from other initial weights."""
        self._initial = self._stacked([torch.from_numpy(rows) for rows in initial], range(len(self._sizes)))

    def gradients(
        self, given: Sequence[Tensor | None], layers: Sequence[int], scale: float | Tensor | None = None
    ) -> None:
        """Accumulate over the gradients of some layers' parameters; None leaves NaN."""
        rows = {i: self._layers[i].on_device(g) for i, g in zip(layers, given, strict=True) if g is not None}
        factor = None if scale is None else self._scale(scale) ** self._powers
        for members in self._by_width(list(rows)).values():
            moments = torch.stack(_moments(torch.cat([rows[m].to(torch.float32) for m in members])), dim=1)
            self._of_gradients[self._index(members)] = moments if factor is None else moments * factor
        self._have_read(rows)

    def weights(self, given: Sequence[Tensor]) -> None:
        """Accumulate over the parameters of all layers, and keep them as the previous ones."""
        rows = [layer.on_device(parameter) for layer, parameter in zip(self._layers, given, strict=True)]
        for width, members in self._stacks.items():
            now = torch.cat([rows[m].to(torch.float32) for m in members])
            columns = _moments(now) + _changes(now, self._previous[width], self._initial[width])
            self._of_weights[self._index(members)] = torch.stack(columns, dim=1)
            self._previous[width] = now

    def _complete(self) -> None:
        """It is."""


def _moments(x: Tensor) -> list[Tensor]:
    """Columns ``GRADIENT`` of (filters, weights) float32."""
    finite = x.isfinite()
    v = torch.where(finite, x, 0).double()
    count = finite.sum(1).double()
    nothing = torch.where(count > 0, 0.0, torch.nan)
    return [
        count,
        v.sum(1),
        v.abs().sum(1),
        (v * v).sum(1),
        torch.where(finite, x, torch.inf).amin(1).double() + nothing,
        torch.where(finite, x, -torch.inf).amax(1).double() + nothing,
        (x == 0).sum(1).double(),
        x.shape[1] - count,
    ]


def _changes(now: Tensor, previous: Tensor, initial: Tensor) -> list[Tensor]:
    """The other columns of ``WEIGHT``, over the weights that are finite on both sides."""
    ok = now.isfinite() & previous.isfinite()
    w, p = torch.where(ok, now, 0).double(), torch.where(ok, previous, 0).double()
    d = w - p
    ok = now.isfinite() & initial.isfinite()
    z = torch.where(ok, initial, 0).double()
    e = torch.where(ok, now, 0).double() - z
    return [p.abs().sum(1), (p * p).sum(1), d.abs().sum(1), (d * d).sum(1), (w * p).sum(1), (z * z).sum(1),
            (e * e).sum(1)]  # fmt: skip


__all__ = ["StackedSet"]
