"""Weights that drift as those of a real training do, kept as accumulators only: norms, dot products, extremes.

No weight is ever held. Each filter is a point that moves by steps of a drawn length and direction, so that all the
numbers of one record fit together: norms with angles, ratios with norms, layers with their filters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deeptracker.statistics import GRADIENT, WEIGHT
from deeptracker.testing.networks import Layer

Float64 = npt.NDArray[np.float64]

MOMENTUM = 0.9
DECAY = 5e-4
_ABSOLUTE = np.sqrt(2 / np.pi)


@dataclass(frozen=True, slots=True)
class Shock:
    """What a planted anomaly does to the filters at one record: factors on gradients, shifts of the normalisation."""

    filters: npt.NDArray[np.intp]
    gradient: float = 1.0
    shift: float = 0.0


@dataclass
class Evolution:
    """State of all filters of a network between two records.

    Parameters
    ----------
    layers : the network.
    rng : every draw comes from it.
    """

    layers: list[Layer]
    rng: np.random.Generator
    square: Float64 = field(init=False)

    def __post_init__(self) -> None:
        rng, layers = self.rng, self.layers
        filters = np.array([layer.filters for layer in layers])
        self.first = np.concatenate([[0], np.cumsum(filters)[:-1]]).astype(np.intp)
        self.layer = np.repeat(np.arange(len(layers)), filters)
        self.count = np.repeat([float(layer.fan_in) for layer in layers], filters)
        n = len(self.layer)
        gain = np.repeat([1 / 3 if layer.linear else 2 / (1 + layer.stride) for layer in layers], filters)
        self.square = gain * np.exp(0.15 * rng.standard_normal(n)) * (1 + rng.normal(0, 0.05, n)) ** 2
        self.init = self.square.copy()
        self.total = rng.normal(0, 0.05, n) * np.sqrt(self.square * self.count)
        self.drift = np.zeros(n)
        self.absolute = _ABSOLUTE * (1 + 0.03 * rng.standard_normal(n).clip(-3, 3))
        reach = np.sqrt(2 * np.log(self.count + 1))
        self.reach = reach * (1 + 0.08 * rng.standard_normal((2, n)).clip(-2.5, 2.5))
        self.gamma = np.where(self._normalised(), rng.uniform(0.7, 1.2, n), np.nan)
        self.beta = np.where(self._normalised(), rng.normal(0.0, 0.1, n), np.nan)
        self.mean = np.where(self._normalised(), rng.normal(-0.2, 0.3, n), np.nan)
        self.variance = np.where(self._normalised(), np.exp(rng.normal(-0.5, 0.5, n)), np.nan)
        # Levels of log ‖g‖: one for all, one a layer, one a filter; each is a constant plus a slow first-order walk.
        self.base = np.log(0.04) + 0.35 * rng.standard_normal(n) + 0.3 * rng.standard_normal(len(layers))[self.layer]
        self.slow = np.zeros(n)
        self.layer_slow = np.zeros(len(layers))
        self.common_slow = 0.0
        self.momentum = np.zeros(n)

    def _normalised(self) -> npt.NDArray[np.bool_]:
        return np.array([not layer.linear for layer in self.layers])[self.layer]

    def initial_norm2(self) -> Float64:
        """Norm of each layer's weights at construction."""
        return np.sqrt(np.add.reduceat(self.init, self.first))

    def _gradient_norm(self, progress: float, shocks: list[Shock]) -> Float64:
        rng, n = self.rng, len(self.layer)
        self.common_slow = 0.98 * self.common_slow + rng.normal(0, 0.03)
        self.layer_slow = 0.99 * self.layer_slow + rng.normal(0, 0.02, len(self.layers))
        self.slow = 0.995 * self.slow + rng.normal(0, 0.02, n)
        quick = 0.10 * rng.standard_t(6) + (0.06 * rng.standard_t(6, len(self.layers)))[self.layer]
        own = 0.15 * rng.standard_t(8, n)
        level = self.base + self.slow + self.layer_slow[self.layer] + self.common_slow - 0.8 * progress
        norm = np.exp(level + quick + own) * np.sqrt(self.init) * np.sqrt(self.init / np.maximum(self.square, 1e-12))
        for shock in shocks:
            norm[shock.filters] *= shock.gradient * np.exp(0.2 * rng.standard_normal(len(shock.filters)))
        return norm

    def advance(
        self, weights: Float64, gradients: Float64, *, rate: float, steps: int, progress: float, shocks: list[Shock]
    ) -> None:
        """Move by one record and fill one row of accumulators a filter.

        Parameters
        ----------
        weights, gradients : (filters, len(WEIGHT)) and (filters, len(GRADIENT)), written to.
        rate : learning rate. steps : optimizer steps since the previous record. progress : share of training done.
        shocks : planted anomalies that strike here.
        """
        rng, n = self.rng, len(self.layer)
        g = self._gradient_norm(progress, shocks)
        # Mean over the steps between two records: momentum forgets, independent gradients add up in square.
        self.momentum = np.where(self.momentum > 0, MOMENTUM**2 * self.momentum + g**2, g**2 / (1 - MOMENTUM**2))
        before = np.sqrt(self.square)
        update = rate * np.sqrt(self.momentum * steps)
        push = update * before * rng.standard_normal(n) / np.sqrt(self.count)
        dot = push - rate * DECAY * steps / (1 - MOMENTUM) * self.square
        square = np.maximum(self.square + 2 * dot + update**2, (before - update) ** 2 + 1e-30)
        now = np.sqrt(square)
        outward = (0.02 + 0.1 * rng.standard_normal(n)) * np.sqrt(self.drift) * update
        drift = self.drift + 2 * outward + update**2 - rate * DECAY * steps / (1 - MOMENTUM) * self.drift
        start = np.sqrt(self.init)
        drift = np.clip(drift, (now - start) ** 2 + 1e-6 * update**2, 2 * (square + self.init))
        self._weights(weights, before, square, update, drift)
        self._gradients(gradients, g)
        self.square, self.drift = square, drift
        self._normalise(rate * np.sqrt(steps), shocks)

    def _weights(self, out: Float64, before: Float64, square: Float64, update: Float64, drift: Float64) -> None:
        rng, n, column = self.rng, len(self.layer), {name: i for i, name in enumerate(WEIGHT)}
        previous_absolute = self.absolute * before * np.sqrt(self.count)
        self.total = self.total * np.sqrt(square) / before + rng.normal(0, 0.02, n) * update * np.sqrt(self.count)
        limit = 0.5 * np.sqrt(square * self.count)
        self.total = np.clip(self.total, -limit, limit)
        self.absolute = np.clip(self.absolute + 2e-4 * rng.standard_normal(n), 0.6, 0.95)
        self.reach = np.clip(self.reach + 2e-3 * rng.standard_normal((2, n)), 1.2, 6)
        now = np.sqrt(square)
        mean = self.total / self.count
        std = np.sqrt(square / self.count - mean**2)
        out[:, column["count"]] = self.count
        out[:, column["sum"]] = self.total
        out[:, column["norm1"]] = self.absolute * now * np.sqrt(self.count)
        out[:, column["square"]] = square
        out[:, column["min"]] = mean - self.reach[0] * std
        out[:, column["max"]] = mean + self.reach[1] * std
        out[:, column["zeros"]] = 0
        out[:, column["nonfinite"]] = 0
        out[:, column["prev_norm1"]] = previous_absolute
        out[:, column["prev_square"]] = before**2
        out[:, column["update_norm1"]] = _ABSOLUTE * update * np.sqrt(self.count)
        out[:, column["update_square"]] = update**2
        out[:, column["dot_prev"]] = (square + before**2 - update**2) / 2
        out[:, column["init_square"]] = self.init
        out[:, column["drift_square"]] = drift

    def _gradients(self, out: Float64, norm: Float64) -> None:
        rng, n, column = self.rng, len(self.layer), {name: i for i, name in enumerate(GRADIENT)}
        reach = self.reach * (1 + 0.1 * rng.standard_normal((2, n)).clip(-3, 3))
        mean = rng.normal(0, 0.3, n).clip(-0.6, 0.6) * norm / self.count
        std = np.sqrt(np.maximum(norm**2 / self.count - mean**2, 0))
        out[:, column["count"]] = self.count
        out[:, column["sum"]] = mean * self.count
        out[:, column["norm1"]] = 0.72 * norm * np.sqrt(self.count)
        out[:, column["square"]] = norm**2
        out[:, column["min"]] = mean - reach[0] * std
        out[:, column["max"]] = mean + reach[1] * std
        out[:, column["zeros"]] = 0
        out[:, column["nonfinite"]] = 0

    def _normalise(self, scale: float, shocks: list[Shock]) -> None:
        rng, n = self.rng, len(self.layer)
        self.gamma = np.maximum(self.gamma + scale * (0.01 * rng.standard_normal(n) - 5e-4 * self.gamma), 0.02)
        self.beta = self.beta + scale * (0.01 * rng.standard_normal(n) - 5e-4 * self.beta)
        self.mean = 0.97 * self.mean + 0.03 * (-0.2) + 0.02 * np.sqrt(self.variance) * rng.standard_normal(n)
        self.variance = self.variance * np.exp(0.02 * rng.standard_normal(n) - 0.01 * np.log(self.variance / 0.6))
        for shock in shocks:
            self.beta[shock.filters] += shock.shift
