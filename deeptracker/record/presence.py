"""Whether a model still is what was described: a training may give a layer other weights, or replace it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from deeptracker.record.describe import Description

Edge = tuple[dict[str, Any], str, nn.Module]


class Presence:
    """Looks, at every reading, for layers that are no longer what was described; it costs microseconds.

    Such a layer reads as missing from then on: statistics of a module that nobody calls any more would be right and
    mean nothing, and weights of another shape cannot be compared with those before.

    Parameters
    ----------
    model, description : what was described, and how; the order of the layers may change later.
    """

    def __init__(self, model: nn.Module, description: Description) -> None:
        self._model, self._description = model, description
        self._edges = list(_edges(model))

    def look(self) -> list[str]:
        """Names of the layers and normalisations that have gone since the last look."""
        gone = [] if self._is_whole() else self._replaced()
        for layer in self._description.layers:
            if not layer.gone and not layer.fits():
                layer.leave()
                gone.append(layer.name)
        return gone

    def _is_whole(self) -> bool:
        return all(children.get(name) is module for children, name, module in self._edges)

    def _replaced(self) -> list[str]:
        """Those whose module is no part of the model any more."""
        self._edges = list(_edges(self._model))
        live, gone = {id(module) for module in self._model.modules()}, []
        for layer in self._description.layers:
            if not layer.gone and id(layer.module) not in live:
                layer.leave()
                gone.append(layer.name)
            norm = layer.follows.normalisation
            if norm and norm not in self._description.gone and id(self._description.modules[norm]) not in live:
                self._description.gone.add(norm)
                gone.append(norm)
        return gone


def _edges(model: nn.Module) -> Iterator[Edge]:
    """Every module but the first: where it is registered, and under which name."""
    for module in model.modules():
        for name, child in module._modules.items():
            if child is not None:
                yield module._modules, name, child


__all__ = ["Presence"]
