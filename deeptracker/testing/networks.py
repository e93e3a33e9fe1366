"""Descriptions of well-known networks, layer by layer, without building them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from deeptracker.errors import InputError


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer with weights: its name, shape, and the block and stage that it belongs to."""

    name: str
    filters: int
    inputs: int
    kernel: int
    stride: int
    block: str
    stage: str

    @property
    def fan_in(self) -> int:
        """Weights of one filter."""
        return self.inputs * max(self.kernel, 1) ** 2

    @property
    def linear(self) -> bool:
        """A linear layer has no kernel, and nothing follows it."""
        return self.kernel == 0


def _basic(widths: tuple[int, ...], blocks: int, classes: int) -> list[Layer]:
    layers = [Layer("conv1", widths[0], 3, 3, 1, "conv1", "stem")]
    inputs = widths[0]
    for stage, width in enumerate(widths, 1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            layers.append(Layer(f"{at}.conv1", width, inputs, 3, stride, at, f"layer{stage}"))
            layers.append(Layer(f"{at}.conv2", width, width, 3, 1, at, f"layer{stage}"))
            inputs = width
    layers.append(Layer("fc", classes, inputs, 0, 0, "fc", "head"))
    return layers


def _bottleneck(counts: tuple[int, ...], classes: int) -> list[Layer]:
    layers = [Layer("conv1", 64, 3, 7, 2, "conv1", "stem")]
    inputs = 64
    for stage, count in enumerate(counts, 1):
        width = 64 * 2 ** (stage - 1)
        for block in range(count):
            at, group = f"layer{stage}.{block}", f"layer{stage}"
            stride = 2 if stage > 1 and block == 0 else 1
            layers.append(Layer(f"{at}.conv1", width, inputs, 1, 1, at, group))
            layers.append(Layer(f"{at}.conv2", width, width, 3, stride, at, group))
            layers.append(Layer(f"{at}.conv3", 4 * width, width, 1, 1, at, group))
            if block == 0:
                layers.append(Layer(f"{at}.downsample.0", 4 * width, inputs, 1, stride, at, group))
            inputs = 4 * width
    layers.append(Layer("fc", classes, inputs, 0, 0, "fc", "head"))
    return layers


def network(model: str, *, classes: int = 10) -> list[Layer]:
    """Layers in order of execution.

    Parameters
    ----------
    model : ``tiny`` (6 layers), ``resnet20`` (20 layers, He et al. 2016) or ``resnet50`` (54 layers).
    classes : units of the last, linear layer.

    Raises
    ------
    InputError : another model.
    """
    if model == "tiny":
        return _basic((8, 16), 1, classes)
    if model == "resnet20":
        return _basic((16, 32, 64), 3, classes)
    if model == "resnet50":
        return _bottleneck((3, 4, 6, 3), classes)
    raise InputError(f"unknown model {model!r}: choose tiny, resnet20 or resnet50")


def architecture(layers: list[Layer], init_norm2: np.ndarray[tuple[int], np.dtype[np.float64]]) -> xr.Dataset:
    """The ``architecture`` group of a chain of layers whose weights had the norms ``init_norm2`` at construction."""
    filters = np.array([layer.filters for layer in layers], np.int32)
    first = np.concatenate([[0], np.cumsum(filters)[:-1]]).astype(np.int32)
    number = np.arange(len(layers), dtype=np.int32)

    def text(values: list[str]) -> tuple[str, np.ndarray[tuple[int], np.dtype[np.object_]]]:
        return "layer", np.array(values, dtype=object)

    return xr.Dataset(
        {
            "type": text(["Linear" if layer.linear else "Conv2d" for layer in layers]),
            "block": text([layer.block for layer in layers]),
            "stage": text([layer.stage for layer in layers]),
            "kernel": text(["" if layer.linear else f"{layer.kernel}×{layer.kernel}" for layer in layers]),
            "stride": text(["" if layer.linear else f"{layer.stride}×{layer.stride}" for layer in layers]),
            "parameters": ("layer", np.array([layer.filters * layer.fan_in for layer in layers], np.int64)),
            "first_filter": ("layer", first),
            "filters": ("layer", filters),
            "normalisation": text(["" if layer.linear else _normalisation(layer.name) for layer in layers]),
            "activation": text(["" if layer.linear else "ReLU" for layer in layers]),
            "lr_group": ("layer", np.zeros(len(layers), np.int32)),
            "init_norm2": ("layer", init_norm2.astype(np.float64)),
            "filter_layer": ("filter", np.repeat(number, filters)),
            "filter_channel": ("filter", np.concatenate([np.arange(n, dtype=np.int32) for n in filters])),
            "edges": (("edge", "end"), np.stack([number[:-1], number[1:]], axis=1)),
        },
        {"layer": ("layer", np.array([layer.name for layer in layers], dtype=object))},
    )


def _normalisation(name: str) -> str:
    parent, _, own = name.rpartition(".")
    if own.isdigit():
        return f"{parent}.{int(own) + 1}"
    return f"{parent}.bn{own[-1]}" if parent else f"bn{own[-1]}"
