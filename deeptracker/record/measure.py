"""Reads gradients, weights and normalisations of a described model: what a snapshot is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from deeptracker.record.describe import Description
from deeptracker.record.device import DeviceSet
from deeptracker.record.hostcopy import HostCopy, number_of
from deeptracker.record.layers import is_distributed, rows_of, weights_of, whole
from deeptracker.record.segments import set_on
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
        self,
        standard: tuple[Measurement, Measurement, float] | Any,
        normalisation: HostCopy | None,
        places: Any,
        forget: Callable[[Measurement, Measurement], None],
    ) -> None:
        self._standard, self._normalisation, self._places, self._forget = standard, normalisation, places, forget

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
        self._forget(filters, layers)
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
        # Ranks that read sharded parameters do it in one order, whatever that of the layers is in the run on disk.
        self._turns = sorted(range(len(description.layers)), key=lambda i: description.layers[i].number)
        self._norms: list[tuple[Any, str, str, int]] = []
        self._norm_turns: list[int] = []
        self._places: dict[str, tuple[Array, slice]] = {}
        self._find_normalisations()
        self._hold(initial)

    def _hold(self, initial: Sequence[Array]) -> None:
        layers = self.description.layers
        devices = {layer.parameter.device for layer in layers}
        sharded = any(is_distributed(layer.parameter) for layer in layers)  # the whole may not fit on one device
        self._set: DeviceSet | StandardSet
        if len(devices) == 1 and next(iter(devices)).type == "cuda" and not sharded:
            self._set = set_on(layers, initial, next(iter(devices)))
        else:
            current = {i: layers[i].rows(layers[i].parameter) for i in self._turns}
            self._set = StandardSet(initial, [current[i] for i in range(len(layers))])

    def _find_normalisations(self) -> None:
        first, done = self.description.first, 0
        for name, attribute in _NORMALISATION:
            places, start = [np.empty(0, np.intp)], done
            for i, layer in enumerate(self.description.layers):
                module = self.description.norm_of(layer)
                if isinstance(getattr(module, attribute, None), torch.Tensor):
                    self._norms.append((module, attribute, layer.follows.normalisation, layer.filters))
                    places.append(np.arange(first[i], first[i] + layer.filters))
                    done += layer.filters
            self._places[name] = (np.concatenate(places), slice(start, done))
        registered = {id(module): i for i, module in enumerate(self.description.modules.values())}
        self._norm_turns = sorted(range(len(self._norms)), key=lambda i: registered[id(self._norms[i][0])])

    def read_gradients(self, layers: Sequence[int], scale: float | torch.Tensor | None = None) -> None:
        """Accumulate over ``p.grad`` of some layers as it is now; a layer without one (frozen) gives NaN.

        ``scale`` is what a loss scaler multiplied the gradients by and has not divided out yet.
        """
        if isinstance(self._set, DeviceSet):
            self._set.gradients([self.description.layers[i].parameter.grad for i in layers], layers, scale)
        else:
            rows = self._gradient_rows(layers)
            self._set.gradients([rows[i] for i in layers], layers, 1.0 if scale is None else float(scale))

    def _in_turn(self, layers: Sequence[int]) -> list[int]:
        return sorted(layers, key=lambda i: self.description.layers[i].number)

    def _gradient_rows(self, layers: Sequence[int]) -> dict[int, Array | None]:
        turns = self._in_turn(layers)
        chosen = [self.description.layers[i] for i in turns]
        return dict(zip(turns, rows_of(chosen, [layer.parameter.grad for layer in chosen]), strict=True))

    def _weight_rows(self) -> list[Array]:
        rows = dict(zip(self._turns, weights_of([self.description.layers[i] for i in self._turns]), strict=True))
        return [rows[i] for i in range(len(rows))]

    def forget_gradients(self) -> None:
        """Gradients that were read belong to no record after all."""
        self._set.forget_gradients()

    def read_weights(self) -> None:
        """Accumulate over the weights as they are now, and keep them as the previous ones."""
        if isinstance(self._set, DeviceSet):
            self._set.weights([layer.parameter for layer in self.description.layers])
        else:
            self._set.weights(self._weight_rows())

    def standard(self) -> Reading:
        """The standard set from what was read last."""
        with torch.no_grad():
            parts = self._normalisations()
            copy = HostCopy(torch.cat(parts).to(torch.float32)) if parts else None
        return Reading(self._set.derive(), copy, self._places, self._gone())

    def _normalisations(self) -> list[torch.Tensor]:
        parts = {i: self._normalisation(*self._norms[i]) for i in self._norm_turns}
        return [parts[i] for i in range(len(parts))]

    def _normalisation(self, module: Any, attribute: str, name: str, filters: int) -> torch.Tensor:
        part = getattr(module, attribute, None)
        if name in self.description.gone or part is None or part.numel() != filters:
            return torch.full((filters,), torch.nan, device=None if part is None else part.device)
        return whole(part).reshape(-1)

    def _gone(self) -> Callable[[Measurement, Measurement], None]:
        """What takes the numbers of layers that are gone by now out of rows: NaN, counts of nothing."""
        gone = [i for i, layer in enumerate(self.description.layers) if layer.gone]
        first = self.description.first if gone else ()
        places = [(slice(first[i], first[i] + self.description.layers[i].filters), slice(i, i + 1)) for i in gone]

        def forget(filters: Measurement, layers: Measurement) -> None:
            for of_filters, of_layer in places:
                for rows, part in ((filters, of_filters), (layers, of_layer)):
                    for values in rows.values():
                        values[part] = np.nan if values.dtype.kind == "f" else 0

        return forget

    def restart(self, initial: Sequence[Array]) -> None:
        """Count rotation from other initial weights."""
        self._set.set_initial(initial)

    def gradients(self, layers: Sequence[int], scale: float | torch.Tensor | None = None) -> dict[int, Array | None]:
        """Copies of the gradients of some layers on the host, for ``full`` and raw rows; None where there is none."""
        factor = number_of(1.0 if scale is None else scale)  # its copy goes ahead of the gradients'
        given = self._gradient_rows(layers)
        divisor = np.float32(factor.number() if isinstance(factor, HostCopy) else factor)
        return {i: None if rows is None else rows / divisor for i, rows in given.items()}

    def full(self, gradients: Mapping[int, Array | None]) -> tuple[Measurement, Measurement]:
        """The full set per filter and per layer; ``gradients`` as read before the step, NaN where there is none."""
        rows = self._weight_rows()
        filters, layers = full_set(rows, [gradients.get(i) for i in range(len(rows))])
        self._gone()(filters, layers)
        return filters, layers


__all__ = ["Measurement", "Measurer", "Reading"]
