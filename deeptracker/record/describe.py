"""Describes a model: its layers in order of execution, their filters, blocks, stages, normalisations and edges.

The order comes from forward hooks on the first pass, the connections from autograd's graph of that pass; both are
taken off again at once. A layer that the pass did not reach keeps its place in ``named_modules``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from deeptracker.conform import build
from deeptracker.errors import InputError
from deeptracker.places import places
from deeptracker.record.graph import Follows, read_graph

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


@dataclass(slots=True)
class Layer:
    """A module with filters: rows of ``weight()`` are filters, columns their weights."""

    name: str
    module: nn.Module
    filters: int
    lr_group: int = -1
    follows: Follows = field(default_factory=Follows)

    @property
    def parameter(self) -> torch.Tensor:
        return self.module.weight  # type: ignore[return-value]

    @property
    def transposed(self) -> bool:
        return isinstance(self.module, _TRANSPOSED)

    def rows(self, tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
        """A weight or gradient as filters × weights, float32; without a copy where it lies so in host memory."""
        tensor = tensor.detach()
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            tensor = tensor.to("cpu", torch.float32)
        if self.transposed:
            groups = int(self.module.groups)  # type: ignore[arg-type]
            tensor = tensor.reshape(groups, tensor.shape[0] // groups, tensor.shape[1], -1).transpose(1, 2)
        return tensor.reshape(self.filters, -1).contiguous().numpy()


@dataclass(slots=True)
class Description:
    """The layers of a model, in order of execution."""

    layers: list[Layer]
    left_out: dict[str, str]
    modules: dict[str, nn.Module]

    @property
    def first(self) -> np.ndarray[Any, np.dtype[np.intp]]:
        """Position of each layer's first filter on the filter axis."""
        return np.concatenate([[0], np.cumsum([layer.filters for layer in self.layers])])[:-1].astype(np.intp)

    @property
    def filters(self) -> int:
        return sum(layer.filters for layer in self.layers)

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
                "parameters": np.array([layer.parameter.numel() for layer in self.layers]),
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
            {"left_out": self.left_out},
        )


def _shape(module: nn.Module, attribute: str) -> str:
    value = getattr(module, attribute, ())
    return "×".join(str(v) for v in value)


def _clean(name: str) -> str:
    """Names without the wrappers of DDP and torch.compile."""
    return ".".join(part for part in name.split(".") if part not in ("module", "_orig_mod")) or name


def find_layers(model: nn.Module, include: str | None, exclude: str | None) -> Description:
    """Every module with filters, in order of registration; shared weights once; the rest with the reason."""
    layers: list[Layer] = []
    left_out: dict[str, str] = {}
    owners: dict[int, str] = {}
    for raw_name, module in model.named_modules():
        name = _clean(raw_name)
        weight = getattr(module, "weight", None)
        if not isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear)):
            if isinstance(weight, nn.Parameter) and not isinstance(module, _NORMALISATIONS):
                left_out[name] = f"{type(module).__name__}: its weights are not filters"
            continue
        if not isinstance(weight, torch.Tensor) or weight.numel() == 0:
            left_out[name] = "has no weights yet"
        elif id(weight) in owners:
            left_out[name] = f"shares its weights with {owners[id(weight)]}"
        elif (include and not re.search(include, name)) or (exclude and re.search(exclude, name)):
            left_out[name] = "not asked for (include, exclude)"
        else:
            owners[id(weight)] = name
            filters = module.out_channels if isinstance(module, _TRANSPOSED) else weight.shape[0]
            layers.append(Layer(name, module, int(filters)))
    if not layers:
        raise InputError(
            "no layer to record: the model has no convolution or linear layer that include/exclude allow"
        )
    return Description(layers, left_out, {_clean(n): m for n, m in model.named_modules()})


def describe(description: Description, order: list[str], output: Any) -> None:
    """Complete a description from one forward pass: sort the layers by ``order``, attach what follows each.

    ``order`` holds names of layers as they were called; ``output`` is what the model returned.
    """
    rank = {name: i for i, name in reversed(list(enumerate(order)))}
    description.layers.sort(key=lambda layer: rank.get(layer.name, len(order)))
    norms = {
        id(module.weight): name
        for name, module in description.modules.items()
        if isinstance(module, _NORMALISATIONS) and isinstance(getattr(module, "weight", None), torch.Tensor)
    }
    weights = {id(layer.parameter): layer.name for layer in description.layers}
    follows = read_graph(output, weights, norms)
    for layer in description.layers:
        layer.follows = follows.get(layer.name, layer.follows)
        norm = description.modules.get(layer.follows.normalisation)
        if norm is not None and getattr(norm, "weight", torch.empty(0)).numel() != layer.filters:
            layer.follows.normalisation = ""  # a norm over something else than this layer's filters
