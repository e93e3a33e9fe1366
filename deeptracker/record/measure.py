"""Reads gradients, weights and normalisations of a described model: what a snapshot is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from deeptracker.record.describe import Description
from deeptracker.record.device import DeviceSet
from deeptracker.record.hostcopy import HostCopy
from deeptracker.record.layers import whole
from deeptracker.statistics import StandardSet, full_set

Array = np.ndarray[Any, Any]
Measurement = dict[str, Array]

_NORMALISATION = (
    ("bn_gamma", "weight"), ("bn_beta", "bias"),
    ("bn_running_mean", "running_mean"), ("bn_running_var", "running_var"),
)  # fmt: skip


class Reading:
    """A snapshot that was taken; on a device its numbers may still be on their way."""

    def __init__(
        self, standard: tuple[Measurement, Measurement, float] | Any, normalisation: HostCopy | None, places: Any
    ) -> None:
        self._standard, self._normalisation, self._places = standard, normalisation, places

    def ready(self) -> bool:
        """Whether ``finish`` would not wait."""
        arrived = isinstance(self._standard, tuple) or self._standard.ready()
        return arrived and (self._normalisation is None or self._normalisation.ready())

    def finish(self) -> tuple[Measurement, Measurement, float]:
        """Statistics per filter and per layer, and the norm of all gradients."""
        filters, layers, norm = self._standard if isinstance(self._standard, tuple) else self._standard.finish()
        total = len(filters["w_min"])
        flat = self._normalisation.numpy() if self._normalisation is not None else np.empty(0, np.float32)
        for name, (place, part) in self._places.items():
            filters[name] = np.full(total, np.nan, np.float32)
            filters[name][place] = flat[part]
        return filters, layers, norm


class Measurer:
    """Holds the previous and the initial weights; reads each array once a snapshot.

    ``read_gradients`` belongs before the optimizer's step, ``read_weights`` after it. Gradients that were not read
    give NaN. Memory: twice the weights, where the weights are.

    Parameters
    ----------
    description : the layers, in their final order.
    initial : weights at construction, rows as ``Layer.rows`` gives them, on the host.
    """

    def __init__(self, description: Description, initial: Sequence[Array]) -> None:
        self.description = description
        devices = {layer.parameter.device for layer in description.layers}
        self._set: DeviceSet | StandardSet
        if len(devices) == 1 and next(iter(devices)).type == "cuda":
            self._set = DeviceSet(description.layers, initial, next(iter(devices)))
        else:
            self._set = StandardSet(initial, [layer.rows(layer.parameter) for layer in description.layers])
        self._norms: list[tuple[Any, str]] = []
        self._places: dict[str, tuple[Array, slice]] = {}
        self._find_normalisations()

    def _find_normalisations(self) -> None:
        first, done = self.description.first, 0
        for name, attribute in _NORMALISATION:
            places, start = [np.empty(0, np.intp)], done
            for i, layer in enumerate(self.description.layers):
                module = self.description.modules.get(layer.follows.normalisation)
                if isinstance(getattr(module, attribute, None), torch.Tensor):
                    self._norms.append((module, attribute))
                    places.append(np.arange(first[i], first[i] + layer.filters))
                    done += layer.filters
            self._places[name] = (np.concatenate(places), slice(start, done))

    def read_gradients(self, layers: Sequence[int], scale: float | torch.Tensor | None = None) -> None:
        """Accumulate over ``p.grad`` of some layers as it is now; a layer without one (frozen) gives NaN.

        ``scale`` is what a loss scaler multiplied the gradients by and has not divided out yet.
        """
        chosen = [self.description.layers[i] for i in layers]
        given = [layer.parameter.grad for layer in chosen]
        if isinstance(self._set, DeviceSet):
            self._set.gradients(
                [None if g is None else layer.on_device(g) for layer, g in zip(chosen, given, strict=True)],
                layers, scale,
            )  # fmt: skip
        else:
            rows = [None if g is None else layer.rows(g) for layer, g in zip(chosen, given, strict=True)]
            self._set.gradients(rows, layers, 1.0 if scale is None else float(scale))

    def read_weights(self) -> None:
        """Accumulate over the weights as they are now, and keep them as the previous ones."""
        if isinstance(self._set, DeviceSet):
            self._set.weights([layer.on_device(layer.parameter) for layer in self.description.layers])
        else:
            self._set.weights([layer.weights() for layer in self.description.layers])

    def standard(self) -> Reading:
        """The standard set from what was read last."""
        parts = [whole(tensor.detach()).reshape(-1) for tensor in (getattr(m, a) for m, a in self._norms)]
        copy = HostCopy(torch.cat(parts).to(torch.float32)) if parts else None
        return Reading(self._set.derive(), copy, self._places)

    def restart(self, initial: Sequence[Array]) -> None:
        """Count rotation from other initial weights."""
        self._set.set_initial(initial)

    def gradients(self, layers: Sequence[int], scale: float | torch.Tensor | None = None) -> dict[int, Array | None]:
        """Copies of the gradients of some layers on the host, for ``full`` and raw rows; None where there is none."""
        divisor = 1.0 if scale is None else float(scale)
        out: dict[int, Array | None] = {}
        for i in layers:
            layer = self.description.layers[i]
            gradient = layer.parameter.grad
            out[i] = None if gradient is None else layer.rows(gradient) / np.float32(divisor)
        return out

    def full(self, gradients: Mapping[int, Array | None]) -> tuple[Measurement, Measurement]:
        """The full set per filter and per layer; ``gradients`` as read before the step, NaN where there is none."""
        rows = [layer.weights() for layer in self.description.layers]
        return full_set(rows, [gradients.get(i) for i in range(len(rows))])


__all__ = ["Measurement", "Measurer", "Reading"]
