"""The standard set computed where the weights are: no layer makes the host wait, one small copy goes to it.

Layers whose filters have equally many weights are stacked and reduced together, so the number of launches follows
the number of different filter sizes, not that of layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deeptracker.record.hostcopy import HostCopy
from deeptracker.record.layers import Layer
from deeptracker.statistics import GRADIENT, WEIGHT, rows_of

Array = np.ndarray[Any, Any]
Tensor = torch.Tensor
Named = dict[str, Array]

_POWER = {"sum": 1, "norm1": 1, "square": 2, "min": 1, "max": 1}


class OnTheWay:
    """Accumulators that are being copied to the host."""

    def __init__(self, weights: Tensor, gradients: Tensor | None, first: Array, has_previous: bool) -> None:
        joined = weights if gradients is None else torch.cat([weights, gradients], dim=1)
        self._copy = HostCopy(joined)
        self._first, self._has_previous, self._has_gradients = first, has_previous, gradients is not None

    def ready(self) -> bool:
        """Whether ``finish`` would not wait."""
        return self._copy.ready()

    def finish(self) -> tuple[Named, Named, float]:
        """Statistics per filter and per layer, and the norm of all gradients."""
        table = self._copy.numpy()
        weights = np.ascontiguousarray(table[:, : len(WEIGHT)])
        gradients = np.ascontiguousarray(table[:, len(WEIGHT) :]) if self._has_gradients else None
        return rows_of(weights, gradients, self._first, has_previous=self._has_previous)


class DeviceSet:
    """What ``statistics.StandardSet`` is for arrays, for tensors on one device; the same accumulators.

    Parameters
    ----------
    layers : of the model; their parameters lie on ``device``.
    initial : weights at construction, one host array of filters × weights a layer.
    """

    def __init__(self, layers: Sequence[Layer], initial: Sequence[Array], device: torch.device) -> None:
        sizes = np.array([layer.filters for layer in layers])
        self.first = (np.cumsum(sizes) - sizes).astype(np.intp)
        self._sizes, self._device = sizes, device
        self._widths = [rows.shape[1] for rows in initial]
        everything = range(len(layers))
        self._stacks = self._by_width(everything)
        self._initial = self._stacked([torch.from_numpy(rows) for rows in initial], everything)
        self._previous = self._stacked([layer.on_device(layer.parameter) for layer in layers], everything)
        total = int(sizes.sum())
        self._weights = torch.empty((total, len(WEIGHT)), dtype=torch.float64, device=device)
        self._gradients = torch.empty((total, len(GRADIENT)), dtype=torch.float64, device=device)
        self._indices: dict[tuple[int, ...], Tensor] = {}
        self._have_previous = False
        self.forget_gradients()

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

    def forget_gradients(self) -> None:
        """Gradients that were read belong to no record after all."""
        self._have_gradients = False
        self._gradients.fill_(torch.nan)
        self._gradients[:, [GRADIENT.index("count"), GRADIENT.index("nonfinite")]] = 0

    def set_initial(self, initial: Sequence[Array]) -> None:
        """Count rotation from other initial weights."""
        self._initial = self._stacked([torch.from_numpy(rows) for rows in initial], range(len(self._sizes)))

    def gradients(
        self, rows: Sequence[Tensor | None], layers: Sequence[int], scale: float | Tensor | None = None
    ) -> None:
        """Accumulate over the gradients of some layers; None leaves NaN."""
        given = {layer: r for layer, r in zip(layers, rows, strict=True) if r is not None}
        for members in self._by_width(list(given)).values():
            stacked = torch.cat([given[m].to(torch.float32) for m in members])
            self._gradients[self._index(members)] = torch.stack(_moments(stacked), dim=1)
        if scale is not None and given:
            power = torch.tensor([_POWER.get(name, 0) for name in GRADIENT], device=self._device)
            factor = torch.as_tensor(scale, dtype=torch.float64, device=self._device).reshape(()) ** -power
            self._gradients[self._index(list(given))] *= factor
        self._have_gradients = True

    def weights(self, rows: Sequence[Tensor]) -> None:
        """Accumulate over the weights of all layers, and keep them as the previous ones."""
        for width, members in self._stacks.items():
            now = torch.cat([rows[m].to(torch.float32) for m in members])
            columns = _moments(now) + _changes(now, self._previous[width], self._initial[width])
            self._weights[self._index(members)] = torch.stack(columns, dim=1)
            self._previous[width] = now

    def derive(self) -> OnTheWay:
        """What was read last, sent on its way."""
        had, self._have_previous = self._have_previous, True
        on_the_way = OnTheWay(self._weights, self._gradients if self._have_gradients else None, self.first, had)
        self.forget_gradients()
        return on_the_way


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


__all__ = ["DeviceSet", "OnTheWay"]
