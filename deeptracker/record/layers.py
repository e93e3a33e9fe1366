"""The layers of a model: which modules have filters, where their weights lie, and how to read them as rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from deeptracker.errors import InputError
from deeptracker.record.graph import Follows

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}

Rows = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(slots=True, eq=False)
class Layer:
    """Filters that are rows of one parameter, and how they lie in it.

    ``module`` is what is called in a forward pass, ``owner`` holds the parameter under ``attribute``. ``part`` are
    the rows of a parameter that several layers share (the projections of an attention). ``filter_axis`` is the axis
    of the parameter that counts filters; with ``groups`` > 1 on axis 1, filters are counted within each group.
    """

    name: str
    module: nn.Module
    owner: nn.Module
    attribute: str
    filters: int
    part: slice | None = None
    filter_axis: int = 0
    groups: int = 1
    note: str = ""
    lr_group: int = -1
    follows: Follows = field(default_factory=Follows)
    _order: tuple[int, ...] = ()
    _seen: tuple[int, Rows] | None = None

    def __post_init__(self) -> None:
        tensor = self._cut(self.parameter.detach())
        # Statistics of a filter do not depend on the order of its weights: read them as they lie (channels last).
        rest = sorted(range(1, tensor.ndim), key=lambda axis: tensor.stride()[axis], reverse=True)
        self._order = (0, *rest)

    @property
    def parameter(self) -> torch.Tensor:
        parameter = self.owner._parameters[self.attribute]
        assert parameter is not None
        return parameter

    @property
    def size(self) -> int:
        """Number of weights of the layer."""
        return self._cut(self.parameter.detach()).numel() if self.part is not None else self.parameter.numel()

    def _cut(self, tensor: torch.Tensor) -> torch.Tensor:
        """The layer's part of its parameter, filters along the first axis; a view where one is possible."""
        if self.part is not None:
            tensor = tensor[self.part]
        if self.filter_axis == 1:
            split = tensor.reshape(self.groups, tensor.shape[0] // self.groups, *tensor.shape[1:])
            tensor = split.transpose(1, 2).reshape(self.filters, tensor.shape[0] // self.groups, *tensor.shape[2:])
        return tensor

    def on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """A weight or gradient as filters × weights, where it is; a copy only where it does not lie so."""
        tensor = whole(tensor.detach())
        return self._cut(tensor).permute(self._order).reshape(self.filters, -1)

    def rows(self, tensor: torch.Tensor) -> Rows:
        """The same, float32 in host memory, C-ordered."""
        tensor = whole(tensor.detach())
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            tensor = tensor.to("cpu", torch.float32)
        return self.on_device(tensor).contiguous().numpy()

    def weights(self) -> Rows:
        """Rows of the parameter. While it stays where it is, so does the array: looking costs next to nothing."""
        parameter = self.parameter
        place = parameter.data_ptr() if parameter.device.type == "cpu" and not is_distributed(parameter) else 0
        if place and self._seen is not None and self._seen[0] == place:
            return self._seen[1]
        rows = self.rows(parameter)
        if place and rows.__array_interface__["data"][0] == self._cut(parameter.detach()).data_ptr():
            self._seen = (place, rows)
        return rows

    def in_c_order(self, rows: Rows) -> Rows:
        """Rows with the weights of each filter in the order of the parameter's axes: what is stored."""
        shape = self._cut(self.parameter.detach()).shape
        permuted = torch.from_numpy(rows).reshape([shape[axis] for axis in self._order])
        back = [self._order.index(axis) for axis in range(len(shape))]
        return permuted.permute(back).reshape(self.filters, -1).contiguous().numpy()

    def in_memory_order(self, rows: Rows) -> Rows:
        """The inverse of ``in_c_order``."""
        shape = self._cut(self.parameter.detach()).shape
        return torch.tensor(rows).reshape(shape).permute(self._order).reshape(self.filters, -1).contiguous().numpy()


def is_distributed(tensor: torch.Tensor) -> bool:
    """Whether each process holds a part only (FSDP2)."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with all its parts; every process must ask for it where it is distributed."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def clean(name: str, wrapped: bool) -> str:
    """Names without the wrappers of DDP, FSDP, checkpointing and torch.compile."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    return ".".join(parts[1:] if wrapped and parts[:1] == ["module"] else parts)


def is_wrapped(model: nn.Module) -> bool:
    """Whether the model is inside a wrapper that calls it ``module``."""
    inner = getattr(model, "_orig_mod", model)
    return isinstance(inner, nn.DataParallel | nn.parallel.DistributedDataParallel)


def find_layers(
    model: nn.Module, include: str | None = None, exclude: str | None = None
) -> tuple[list[Layer], dict[str, str]]:
    """Every module with filters, in order of registration, shared weights once; and what is left out, with why.

    Raises
    ------
    InputError
        No layer is left, or ``include`` or ``exclude`` is no regular expression.
    """
    wanted, unwanted = _expression(include, "include"), _expression(exclude, "exclude")
    layers: list[Layer] = []
    left_out: dict[str, str] = {}
    owners: dict[tuple[int, int], str] = {}
    wrapped = is_wrapped(model)
    for raw_name, module in model.named_modules():
        if ".parametrizations." in f".{raw_name}.":
            continue
        name = clean(raw_name, wrapped)
        for found in _found(name, module):
            if isinstance(found, tuple):
                left_out[found[0]] = found[1]
                continue
            key = id(found.parameter), found.part.start if found.part else 0
            if key in owners:
                left_out[found.name] = f"shares its weights with {owners[key]}"
            elif (wanted and not wanted.search(found.name)) or (unwanted and unwanted.search(found.name)):
                left_out[found.name] = "not asked for (include, exclude)"
            else:
                owners[key] = found.name
                layers.append(found)
    if not layers:
        raise InputError(
            "no layer to record: the model has no convolution or linear layer that include/exclude allow"
        )
    return layers, left_out


def _expression(text: str | None, what: str) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise InputError(f"{what}={text!r} is no regular expression ({error})") from None


def _found(name: str, module: nn.Module) -> Iterator[Layer | tuple[str, str]]:
    """Layers of one module, or (name, why not)."""
    kind = type(module).__name__
    if isinstance(module, nn.MultiheadAttention):
        yield from _attention(name, module)
    elif isinstance(module, (*CONVOLUTIONS, *TRANSPOSED, nn.Linear, nn.Bilinear)) or _is_conv1d(module):
        yield _plain(name, module)
    elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
        yield name, f"{kind}: its rows are entries of a table, not filters"
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
        yield name, f"{kind}: its rows are gates, not filters"
    elif not isinstance(module, NORMALISATIONS):
        for attribute, parameter in module._parameters.items():
            if parameter is not None and parameter.ndim >= 2:
                yield f"{name}.{attribute}".lstrip("."), f"a parameter of {kind}, not the weight of a layer"


def _is_conv1d(module: nn.Module) -> bool:
    """The linear layer of GPT-2 in transformers: weights are inputs × outputs."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def _plain(name: str, module: nn.Module) -> Layer | tuple[str, str]:
    owner, attribute, note = module, "weight", ""
    if nn.utils.parametrize.is_parametrized(module, "weight"):
        # Reading the weight would compute it anew, and a spectral norm then changes its buffers.
        owner = module.get_submodule("parametrizations.weight")
        attribute = "original1" if "original1" in owner._parameters else "original"
        note = "parametrized: statistics of the parameter under it"
    elif "weight_v" in module._parameters:
        attribute, note = "weight_v", "weight_norm: statistics of the direction"
    elif "weight_orig" in module._parameters:
        attribute, note = "weight_orig", "statistics of weight_orig"
    weight = owner._parameters.get(attribute)
    if weight is None:
        return name, "its weight is computed, not a parameter"
    if isinstance(weight, nn.parameter.UninitializedParameter) or weight.numel() == 0:
        return name, "has no weights yet"
    if not weight.is_floating_point():
        return name, f"its weights are {str(weight.dtype).removeprefix('torch.')}"
    if isinstance(module, TRANSPOSED):
        return Layer(name, module, owner, attribute, module.out_channels, None, 1, module.groups, note)
    if _is_conv1d(module):
        return Layer(name, module, owner, attribute, weight.shape[1], None, 1, 1, note)
    return Layer(name, module, owner, attribute, weight.shape[0], note=note)


def _attention(name: str, module: nn.MultiheadAttention) -> Iterator[Layer]:
    """The input projections; the output projection is a linear layer of its own."""
    size = module.embed_dim
    for number, letter in enumerate("qkv"):
        layer = f"{name}.{letter}_proj".lstrip(".")
        if module._parameters.get("in_proj_weight") is not None:
            part = slice(number * size, (number + 1) * size)
            yield Layer(layer, module, module, "in_proj_weight", size, part)
        else:
            yield Layer(layer, module, module, f"{letter}_proj_weight", size)


__all__ = ["NORMALISATIONS", "Layer", "clean", "find_layers", "is_distributed", "is_wrapped", "whole"]
