"""Reads gradients, weights and normalisations of a described model and gives the rows of a snapshot."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from deeptracker.record.describe import Description
from deeptracker.statistics import (
    GRADIENT,
    WEIGHT,
    accumulate_gradients,
    accumulate_weights,
    change_ratio_cdf,
    derive,
    histogram,
    merge,
    quartiles,
    stable_rank,
)

Array = np.ndarray[Any, Any]
Measurement = dict[str, Array]


class Measurer:
    """Holds the previous and the initial weights; reads each array once a snapshot.

    ``read_gradients`` belongs before the optimizer's step, ``read_weights`` after it. Gradients that were not read
    give NaN. Memory: twice the weights.
    """

    def __init__(self, description: Description, initial: list[Array] | None = None) -> None:
        self.description = description
        current = [layer.rows(layer.parameter) for layer in description.layers]
        self.initial = initial if initial is not None else [rows.copy() for rows in current]
        self._previous = [rows.copy() for rows in current]
        self._first = description.first
        self._rows = [
            slice(int(first), int(first) + layer.filters)
            for first, layer in zip(self._first, description.layers, strict=True)
        ]
        self._weights = np.full((description.filters, len(WEIGHT)), np.nan)
        self._gradients = np.full((description.filters, len(GRADIENT)), np.nan)
        self._have_gradients = False
        self._have_previous = False

    def read_gradients(self) -> None:
        """Accumulate over ``p.grad`` as it is now; a layer without gradient (frozen) gives NaN."""
        for i, layer in enumerate(self.description.layers):
            out = self._gradients[self._rows[i]]
            gradient = layer.parameter.grad
            if gradient is None:
                out[:] = np.nan
                out[:, [GRADIENT.index("count"), GRADIENT.index("nonfinite")]] = 0
            else:
                accumulate_gradients(layer.rows(gradient), out)
        self._have_gradients = True

    def read_weights(self) -> None:
        """Accumulate over the weights as they are now, and keep them as the previous ones."""
        for i, layer in enumerate(self.description.layers):
            rows = layer.rows(layer.parameter)
            accumulate_weights(rows, self._previous[i], self.initial[i], self._weights[self._rows[i]])

    def standard(self) -> tuple[Measurement, Measurement, float]:
        """The standard set per filter and per layer from what was read last, and the norm of all gradients."""
        gradients = self._gradients if self._have_gradients else None
        had, self._have_previous, self._have_gradients = self._have_previous, True, False
        first = self._first
        filters: Measurement = dict(derive(self._weights, gradients, has_previous=had))
        merged = merge(gradients, first, GRADIENT) if gradients is not None else None
        layers: Measurement = dict(derive(merge(self._weights, first, WEIGHT), merged, has_previous=had))
        filters |= self._normalisation()
        norm = float(np.sqrt(np.nansum(merged[:, GRADIENT.index("square")]))) if merged is not None else float("nan")
        return filters, layers, norm

    def _normalisation(self) -> Measurement:
        out = {name: np.full(self.description.filters, np.nan, np.float32)
               for name in ("bn_gamma", "bn_beta", "bn_running_mean", "bn_running_var")}  # fmt: skip
        for i, layer in enumerate(self.description.layers):
            module = self.description.modules.get(layer.follows.normalisation)
            for name, attribute in (("bn_gamma", "weight"), ("bn_beta", "bias"), ("bn_running_mean", "running_mean"),
                                    ("bn_running_var", "running_var")):  # fmt: skip
                tensor = getattr(module, attribute, None)
                if isinstance(tensor, torch.Tensor):
                    out[name][self._rows[i]] = tensor.detach().to("cpu", torch.float32).numpy()
        return out

    def full(self, gradients: list[Array] | None) -> tuple[Measurement, Measurement]:
        """Quartiles per filter and layer, and each layer's distributions; ``gradients`` as read before the step."""
        filters: Measurement = {}
        layers: dict[str, list[Any]] = {}
        names = ("q1", "median", "q3")
        for i, layer in enumerate(self.description.layers):
            arrays = {"w": layer.rows(layer.parameter)}
            if gradients is not None and gradients[i].size:
                arrays["g"] = gradients[i]
            for letter in "wg":
                rows = arrays.get(letter)
                per_filter = quartiles(rows) if rows is not None else np.full((3, layer.filters), np.nan, np.float32)
                whole = quartiles(rows.reshape(1, -1)) if rows is not None else np.full((3, 1), np.nan, np.float32)
                for j, name in enumerate(names):
                    filters.setdefault(f"{letter}_{name}", np.empty(self.description.filters, np.float32))[
                        self._rows[i]
                    ] = per_filter[j]
                    layers.setdefault(f"{letter}_{name}", []).append(whole[j, 0])
                layers.setdefault(f"{letter}_hist", []).append(
                    histogram(rows if rows is not None else np.empty(0, np.float32))
                )
            layers.setdefault("change_ratio_cdf", []).append(
                change_ratio_cdf(arrays["w"], arrays.get("g", np.full_like(arrays["w"], np.nan)))
            )
            layers.setdefault("stable_rank", []).append(np.float32(stable_rank(arrays["w"])))
        return filters, {name: np.stack(values) for name, values in layers.items()}

    def gradients(self) -> list[Array]:
        """Copies of all gradients (empty where there is none), for ``full``."""
        return [
            np.empty(0, np.float32) if layer.parameter.grad is None else layer.rows(layer.parameter.grad).copy()
            for layer in self.description.layers
        ]
