"""The static tables of a recording, and the axes of its growing groups: written before the first row of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deeptracker.conform import build
from deeptracker.errors import InputError
from deeptracker.record.describe import Description
from deeptracker.record.layers import whole
from deeptracker.sink import Sink
from deeptracker.statistics import HISTOGRAM_EDGES, THRESHOLDS

Array = np.ndarray[Any, Any]


class Tables:
    """``architecture``, ``initial/<number>`` and coordinates of one recording.

    Parameters
    ----------
    description : the layers; in their final order once the first table is written.
    follow : take part in reading sharded weights, and write nothing.
    """

    def __init__(self, description: Description, follow: bool = False) -> None:
        self._description, self._follow = description, follow
        self._opened: set[str] = set()
        self._described = False
        # By name: the order of execution is not known before the first pass.
        self.own: dict[str, Array] = {}
        for layer in description.layers:
            if follow:
                whole(layer.parameter.detach())
            else:
                self.own[layer.name] = layer.rows(layer.parameter).copy()
        self._initial: dict[str, Array] = self.own

    def restore(self, sink: Sink) -> None:
        """Take the weights at construction from an earlier session of the same run, where there was one.

        Raises
        ------
        InputError
            The run was recorded from a model with other layers.
        """
        architecture = sink.get("architecture")
        if architecture is None:
            return
        names = [str(name) for name in architecture["layer"].values]
        theirs = dict(zip(names, architecture["filters"].values.tolist(), strict=True))
        layers = {layer.name: layer for layer in self._description.layers}
        if theirs != {name: layer.filters for name, layer in layers.items()}:
            raise InputError("the run was recorded from another model (layers differ); choose another path")
        self._initial = dict(self.own)
        self._description.fixed = names
        for number, name in enumerate(names):
            stored = sink.get(f"initial/{number}")
            if stored is not None:
                self._initial[name] = layers[name].in_memory_order(np.ascontiguousarray(stored["weight"].values))

    def forget(self) -> None:
        """The run is another one after all: the weights at construction are those of this model."""
        self._initial = self.own
        self._opened.clear()
        self._description.fixed = None

    @staticmethod
    def length(sink: Sink, group: str, axis: str) -> int | None:
        """Length of an axis of a growing group that an earlier session fixed, or None."""
        stored = sink.get(group)
        return stored.sizes[axis] if stored is not None and axis in stored.sizes else None

    def initial(self) -> list[Array]:
        """Weights at construction, in the order of the layers, rows as ``Layer.rows`` gives them."""
        return [] if self._follow else [self._initial[layer.name] for layer in self._description.layers]

    def open(self, sink: Sink, group: str, extra: Mapping[str, Sequence[Any] | Array] | None = None) -> None:
        """Before a row of ``group``: the architecture, and the coordinates of the group's other axes."""
        if self._follow or group in self._opened:
            return
        if not self._described and group not in ("scalars", "batches"):
            self._put(sink)
        self._opened.add(group)
        coordinates: dict[str, Any] = dict(extra or {})
        if group.startswith("layers/"):
            coordinates["layer"] = [layer.name for layer in self._description.layers]
        if group == "layers/full":
            coordinates |= {"bin": HISTOGRAM_EDGES, "threshold": THRESHOLDS}
        sink.coordinates(group, coordinates)

    def _put(self, sink: Sink) -> None:
        self._described = True
        if sink.get("architecture") is not None:
            return
        rows = self.initial()
        norms = np.array([np.sqrt(np.sum(part.astype(np.float64) ** 2)) for part in rows])
        initial = [
            build("initial/<number>", {"weight": layer.in_c_order(part)}, {})
            for layer, part in zip(self._description.layers, rows, strict=True)
        ]
        tables = {f"initial/{number}": table for number, table in enumerate(initial)}
        sink.put_many({"architecture": self._description.dataset(norms), **tables})


__all__ = ["Tables"]
