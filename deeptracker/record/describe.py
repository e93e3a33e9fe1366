"""Describes a model: its layers in order of execution, their filters, blocks, stages, normalisations and edges.

The order comes from forward hooks on the first pass, the connections from autograd's graph of that pass; both are
taken off again at once. A layer that the pass did not reach keeps its place in ``named_modules``. Inside a compiled
model there is neither: then a pass over the probe batch tells, or the order is that of registration, and a
normalisation follows the layer before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from deeptracker.conform import build
from deeptracker.places import places
from deeptracker.record.graph import Follows, read_graph
from deeptracker.record.layers import Layer
from deeptracker.record.modules import NORMALISATIONS, find_layers
from deeptracker.record.wrappers import clean, is_wrapped


@dataclass(slots=True)
class Description:
    """The layers of a model, in order of execution."""

    layers: list[Layer]
    left_out: dict[str, str]
    modules: dict[str, nn.Module]
    order: str = "registration"
    fixed: list[str] | None = None
    gone: set[str] = field(default_factory=set)
    """Names of normalisations that are no part of the model any more."""

    @property
    def first(self) -> np.ndarray[Any, np.dtype[np.intp]]:
        """Position of each layer's first filter on the filter axis."""
        return np.concatenate([[0], np.cumsum([layer.filters for layer in self.layers])])[:-1].astype(np.intp)

    @property
    def filters(self) -> int:
        return sum(layer.filters for layer in self.layers)

    def name_of(self, module: nn.Module) -> str:
        """Name of a module of the model."""
        return next(name for name, other in self.modules.items() if other is module)

    def norm_of(self, layer: Layer) -> nn.Module | None:
        """The normalisation that follows a layer. (No name is none: the model itself is called that.)"""
        return self.modules[layer.follows.normalisation] if layer.follows.normalisation else None

    def dataset(self, init_norm2: np.ndarray[Any, Any]) -> xr.Dataset:
        """The ``architecture`` group; ``init_norm2`` is the norm of each layer's weights at construction."""
        names = [layer.name for layer in self.layers]
        place = places(names)
        position = {name: i for i, name in enumerate(names)}
        edges = sorted((position[a.name], position[b]) for a in self.layers for b in a.follows.feeds if b in position)
        sizes = np.array([layer.filters for layer in self.layers])
        return build(
            "architecture",
            {
                "type": [type(layer.module).__name__ for layer in self.layers],
                "block": [block for block, _ in place],
                "stage": [stage for _, stage in place],
                "kernel": [_shape(layer.module, "kernel_size") for layer in self.layers],
                "stride": [_shape(layer.module, "stride") for layer in self.layers],
                "parameters": np.array([layer.size for layer in self.layers]),
                "first_filter": self.first,
                "filters": sizes,
                "normalisation": [layer.follows.normalisation for layer in self.layers],
                "activation": [layer.follows.activation for layer in self.layers],
                "lr_group": np.array([layer.lr_group for layer in self.layers]),
                "init_norm2": init_norm2,
                "filter_layer": np.repeat(np.arange(len(sizes)), sizes),
                "filter_channel": np.concatenate([np.arange(n) for n in sizes]),
                "edges": np.array(edges, np.int32).reshape(-1, 2),
            },
            {"layer": names},
            {
                "left_out": self.left_out,
                "order": self.order,
                "notes": {layer.name: layer.note for layer in self.layers if layer.note},
            },
        )


@dataclass(slots=True)
class FirstPass:
    """What the hooks saw of a model's first forward pass.

    ``order`` are the names of modules as they were called, ``used`` the parameters that they had then (FSDP swaps
    them for the time of the pass), ``results`` the node of autograd's graph that made each module's output (by the
    module's identity, first call), ``output`` is what the model returned.
    """

    order: list[str] = field(default_factory=list)
    used: list[tuple[nn.Module, str, torch.Tensor]] = field(default_factory=list)
    results: dict[int, Any] = field(default_factory=dict)
    output: Any = None

    def parameters(self, owner: nn.Module, attribute: str, now: torch.Tensor) -> set[int]:
        """Identities of a parameter: that of now, and those that it had during the pass."""
        return {id(now)} | {id(p) for module, name, p in self.used if module is owner and name == attribute}


def _shape(module: nn.Module, attribute: str) -> str:
    value = getattr(module, attribute, ())
    return "×".join(str(v) for v in value)


def find(model: nn.Module, include: str | None, exclude: str | None) -> Description:
    """What is known of a model before its first pass."""
    layers, left_out = find_layers(model, include, exclude)
    wrapped = is_wrapped(model)
    return Description(layers, left_out, {clean(name, wrapped): m for name, m in model.named_modules()})


def describe(description: Description, seen: FirstPass) -> None:
    """Complete a description from one forward pass: sort the layers by execution, attach what follows each."""
    rank = {name: i for i, name in reversed(list(enumerate(seen.order)))}

    # A layer that no hook saw (unreached, compiled) keeps its place behind the one that is registered before it.
    places: dict[str, tuple[int, int, int]] = {}
    before = -1
    for layer in sorted(description.layers, key=lambda layer: layer.number):
        name = description.name_of(layer.module)
        while name and name not in rank:  # an attention applies its output projection without calling it
            name = name.rpartition(".")[0]
        before = rank.get(name, before)
        places[layer.name] = (before, name not in rank, layer.number)
    description.layers.sort(key=lambda layer: places[layer.name])
    if description.fixed is not None:
        fixed = {name: i for i, name in enumerate(description.fixed)}
        description.layers.sort(key=lambda layer: fixed[layer.name])
    description.order = "execution" if seen.order else "registration"
    norms = {
        key: name
        for name, module in description.modules.items()
        if isinstance(module, NORMALISATIONS) and isinstance(getattr(module, "weight", None), nn.Parameter)
        for key in seen.parameters(module, "weight", module.weight)
    }
    same: dict[int, list[Layer]] = {}
    for layer in description.layers:
        for key in seen.parameters(layer.owner, layer.attribute, layer.parameter):
            same.setdefault(key, []).append(layer)
    results = {layer.name: seen.results.get(id(layer.module)) for layer in description.layers if layer.is_computed}
    follows = read_graph(seen.output, {key: members[0].name for key, members in same.items()}, norms, results)
    together = {members[0].name: {m.name for m in members} for members in same.values()}
    for members in same.values():
        if (found := follows.get(members[0].name)) is not None:
            feeds = {name for first in found.feeds for name in together[first]}
            for layer in members:
                layer.follows = Follows(found.normalisation, found.activation, found.direct, set(feeds))
    read = {name for first in follows for name in together[first]}
    _guess_normalisations(description, read)
    for layer in description.layers:
        norm = description.norm_of(layer)
        if norm is not None and _width(norm) != layer.filters:
            layer.follows.normalisation = ""  # a norm over something else than this layer's filters


def _width(norm: nn.Module) -> int:
    """Channels that a normalisation scales."""
    weight = getattr(norm, "weight", None)
    if isinstance(weight, torch.Tensor):
        return weight.numel()
    return int(getattr(norm, "num_features", getattr(norm, "num_channels", 0)))


def _guess_normalisations(description: Description, read: set[str]) -> None:
    """For layers that no graph told about (compiled): the normalisation that is registered right after a layer."""
    before: list[Layer] = []
    layers_of: dict[int, list[Layer]] = {}
    for layer in description.layers:
        layers_of.setdefault(id(layer.module), []).append(layer)
    claimed = {layer.follows.normalisation for layer in description.layers}
    for name, module in description.modules.items():
        if id(module) in layers_of:
            before = layers_of[id(module)]
        elif isinstance(module, NORMALISATIONS):
            for layer in before:
                if layer.name not in read and name not in claimed:
                    layer.follows.normalisation = name
            before = []
