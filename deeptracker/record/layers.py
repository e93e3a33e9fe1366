"""A layer: filters that are rows of one parameter, where its weights lie, and how to read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from deeptracker.errors import InputError
from deeptracker.record.graph import Follows
from deeptracker.record.hostcopy import HostCopy

Rows = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(slots=True, eq=False)
class Layer:
    """Filters that are rows of one parameter, and how they lie in it.

    ``module`` is what is called in a forward pass, ``owner`` holds the parameter under ``attribute``. ``part`` are
    the rows of a parameter that several layers share (the projections of an attention). ``filter_axis`` is the axis
    of the parameter that counts filters; with ``groups`` > 1 on axis 1, filters are counted within each group.
    ``number`` is the layer's place in the order of registration.
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
    number: int = 0
    lr_group: int = -1
    follows: Follows = field(default_factory=Follows)
    _described: tuple[torch.Size, tuple[int, ...]] | None = None
    _stand_in: torch.Tensor | None = None
    _shape: tuple[int, ...] = ()
    _order: tuple[int, ...] = ()
    _lies_so: bool = False
    _lying: tuple[torch.Size, tuple[int, ...]] | None = None
    _offset: int = 0
    _seen: tuple[int, Rows] | None = None

    def __post_init__(self) -> None:
        # Shapes and strides only: the weights may be large, or lie on several processes.
        parameter = self.parameter
        self._described = parameter.shape, parameter.stride()
        tensor = self._cut(torch.empty_strided(*self._described, device="meta"))
        self._shape = tuple(tensor.shape)
        # Statistics of a filter do not depend on the order of its weights: read them as they lie (channels last).
        rest = sorted(range(1, tensor.ndim), key=lambda axis: tensor.stride()[axis], reverse=True)
        self._order = (0, *rest)
        self._lies_so = self.part is None and self.filter_axis == 0 and rest == sorted(rest)
        as_read = tensor.permute(self._order)
        if self.filter_axis == 0 and as_read.is_contiguous():
            self._lying, self._offset = self._described, int(as_read.storage_offset())

    @property
    def parameter(self) -> torch.Tensor:
        if self._stand_in is not None:
            return self._stand_in
        found = self.owner._parameters.get(self.attribute)
        return self._moved() if found is None else found

    def _moved(self) -> torch.Tensor:
        """The parameter under its new name: pruning was begun, or made permanent, since the layer was found."""
        for attribute in ("weight", "weight_orig", "weight_v"):
            if (found := self.module._parameters.get(attribute)) is not None:
                return found
        listed = getattr(self.module, "parametrizations", {})
        if "weight" in listed and isinstance(found := getattr(listed["weight"], "original", None), nn.Parameter):
            return found
        raise InputError(
            f"{self.name}: its weights are no longer a parameter; make a new Recorder after such a change"
        )

    @property
    def gone(self) -> bool:
        """Whether what was described is not there any more: ``parameter`` are zeros then, without a gradient."""
        return self._stand_in is not None

    def fits(self) -> bool:
        """Whether the parameter has the shape that was described: kernels would read what lies beyond another one."""
        try:
            return self._described is not None and self.parameter.shape == self._described[0]
        except InputError:
            return False

    def leave(self) -> None:
        """Be gone from now on."""
        assert self._described is not None
        last = self.owner._parameters.get(self.attribute)
        self._stand_in = nn.Parameter(
            torch.empty_strided(*self._described, device=None if last is None else last.device).zero_(), False
        )
        self._seen = None

    @property
    def is_computed(self) -> bool:
        """Whether the module computes its weight from the parameter (norms and masks of weights)."""
        return self.owner is not self.module or self.attribute in ("weight_v", "weight_orig")

    @property
    def size(self) -> int:
        """Number of weights of the layer."""
        return int(np.prod(self._shape))

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

    def address(self, tensor: torch.Tensor) -> int | None:
        """Where the rows of ``on_device`` begin, if they lie one after another in ``tensor`` itself; else None."""
        if self._lying is None or tensor.shape != self._lying[0] or tensor.stride() != self._lying[1]:
            return None
        return tensor.data_ptr() + self._offset * tensor.element_size()

    def rows(self, tensor: torch.Tensor) -> Rows:
        """The same, float32 in host memory, C-ordered."""
        tensor = whole(tensor.detach())
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            tensor = tensor.to("cpu", torch.float32)
        if self._lies_so and tensor.is_contiguous():  # the usual case, at every layer and step: be quick
            return tensor.numpy().reshape(self.filters, -1)
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

    def copy_filters(self, source: torch.Tensor, into: torch.Tensor, channels: torch.Tensor) -> None:
        """Some filters of one state of the parameter into another; neither need be the parameter as it is."""
        if self.filter_axis == 0:
            at = channels + (self.part.start if self.part is not None else 0)
            into[at] = source[at]
            return
        each, inputs = self.filters // self.groups, into.shape[0] // self.groups
        for channel in channels.tolist():
            group, column = divmod(channel, each)
            rows = slice(group * inputs, (group + 1) * inputs)
            into[rows, column] = source[rows, column]

    def in_c_order(self, rows: Rows) -> Rows:
        """Rows with the weights of each filter in the order of the parameter's axes: what is stored."""
        permuted = torch.from_numpy(rows).reshape([self._shape[axis] for axis in self._order])
        back = [self._order.index(axis) for axis in range(len(self._shape))]
        return permuted.permute(back).reshape(self.filters, -1).contiguous().numpy()

    def in_memory_order(self, rows: Rows) -> Rows:
        """The inverse of ``in_c_order``."""
        ordered = torch.tensor(rows).reshape(self._shape).permute(self._order)
        return ordered.reshape(self.filters, -1).contiguous().numpy()


def weights_of(layers: Sequence[Layer]) -> list[Rows]:
    """``Layer.weights`` of several; a device is waited for once."""
    if all(layer.parameter.device.type == "cpu" for layer in layers):
        return [layer.weights() for layer in layers]
    return [rows for rows in rows_of(layers, [layer.parameter for layer in layers]) if rows is not None]


def rows_of(layers: Sequence[Layer], tensors: Sequence[torch.Tensor | None]) -> list[Rows | None]:
    """``Layer.rows`` of a tensor of each; a device is waited for once, not for each."""
    copies: list[HostCopy | None] = []
    for layer, tensor in zip(layers, tensors, strict=True):
        away = tensor is not None and tensor.device.type != "cpu" and not is_distributed(tensor)
        copies.append(
            HostCopy(layer.on_device(tensor).to(torch.float32).contiguous()) if away and tensor is not None else None
        )
    return [
        copy.numpy() if copy is not None else None if tensor is None else layer.rows(tensor)
        for layer, tensor, copy in zip(layers, tensors, copies, strict=True)
    ]


def is_distributed(tensor: torch.Tensor) -> bool:
    """Whether each process holds a part only (FSDP2)."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with all its parts; every process must ask for it where it is distributed."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


__all__ = ["Layer", "is_distributed", "rows_of", "weights_of", "whole"]
