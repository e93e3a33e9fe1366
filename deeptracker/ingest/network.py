"""Layers with filters, read off the names and shapes of a checkpoint: no module is there to ask.

A file tells neither the order of execution nor the connections. Layers come in the order of the file, or by name
where the file is sorted; a BatchNorm goes with the layer whose name or place says so and whose width fits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from deeptracker.conform import build
from deeptracker.errors import InputError
from deeptracker.ingest.arrays import numpy
from deeptracker.places import places

Array = np.ndarray[Any, Any]
NORMALISATION = (
    ("bn_gamma", "weight"), ("bn_beta", "bias"),
    ("bn_running_mean", "running_mean"), ("bn_running_var", "running_var"),
)  # fmt: skip
# What a layer's own parameter is called, also under weight norm, pruning and parametrizations.
_WEIGHT = re.compile(r"^(?P<layer>.+?)\.(?:weight|weight_v|weight_orig|parametrizations\.weight\.original1?)$")
_PROJECTIONS = re.compile(r"^(?P<layer>.+?)\.in_proj_weight$")
_EMBEDDING = re.compile(r"embed|(^|[._])(wte|wpe|emb|lookup)([._]|$)", re.IGNORECASE)
_DIGITS = re.compile(r"(\d+)")
_MOST_PAIRS = 10_000_000


@dataclass(slots=True)
class FileLayer:
    """A layer: the parameter that holds its weights, and how filters lie in it."""

    name: str
    parameter: str
    shape: tuple[int, ...]
    part: slice | None = None
    filter_axis: int = 0
    normalisation: str = ""

    @property
    def filters(self) -> int:
        return self.shape[self.filter_axis] if self.part is None else self.part.stop - self.part.start

    @property
    def size(self) -> int:
        """Number of weights."""
        return int(np.prod(self.shape)) // self.shape[self.filter_axis] * self.filters

    @property
    def type(self) -> str:
        kind = {2: "Linear", 3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}[len(self.shape)]
        return kind.replace("Conv", "ConvTranspose") if self.filter_axis else kind

    def rows(self, leaf: Any) -> Array:
        """A parameter (or its gradient) as filters × weights, float32, C-ordered; a copy."""
        array = numpy(leaf)
        if self.part is not None:
            array = array[self.part]
        if self.filter_axis:
            array = np.moveaxis(array, self.filter_axis, 0)
        return np.array(array.reshape(self.filters, -1), np.float32, order="C")


@dataclass(slots=True)
class Network:
    """The layers of a checkpoint, and what of it is no layer, with why."""

    layers: list[FileLayer]
    left_out: dict[str, str] = field(default_factory=dict)
    order: str = "order of the file; the execution was not observed"

    @property
    def first(self) -> Array:
        """Position of each layer's first filter on the filter axis."""
        sizes = np.array([layer.filters for layer in self.layers])
        return (np.cumsum(sizes) - sizes).astype(np.intp)

    def dataset(self, init_norm2: Array, rate_groups: Mapping[str, int]) -> xr.Dataset:
        """The ``architecture`` group."""
        layers, sizes = self.layers, np.array([layer.filters for layer in self.layers])
        return architecture(
            [layer.name for layer in layers],
            sizes,
            {
                "type": [layer.type for layer in layers],
                "kernel": ["×".join(map(str, layer.shape[2:])) for layer in layers],
                "parameters": np.array([layer.size for layer in layers]),
                "normalisation": [layer.normalisation for layer in layers],
                "lr_group": np.array([rate_groups.get(layer.parameter, -1) for layer in layers]),
                "init_norm2": init_norm2,
            },
            {"left_out": self.left_out, "order": self.order},
        )


def architecture(names: list[str], filters: Array, known: dict[str, Any], attributes: dict[str, Any]) -> xr.Dataset:
    """The ``architecture`` group of layers of which no module was seen: unknown texts are empty."""
    place = places(names)
    empty = [""] * len(names)
    return build(
        "architecture",
        {
            "block": [block for block, _ in place],
            "stage": [stage for _, stage in place],
            "stride": empty,
            "first_filter": np.cumsum(filters) - filters,
            "filters": filters,
            "activation": empty,
            "filter_layer": np.repeat(np.arange(len(filters)), filters),
            "filter_channel": np.concatenate([np.arange(n) for n in filters]),
            "edges": np.empty((0, 2), np.int32),
            **known,
        },
        {"layer": names},
        {"notes": {}, **attributes},
    )


def find_network(
    parameters: Mapping[str, Any], *, by_name: bool, include: str | None = None, exclude: str | None = None
) -> Network:
    """The layers of a state dict; ``by_name`` where the file is sorted, so that its order says nothing.

    Raises
    ------
    InputError
        ``include`` or ``exclude`` is no regular expression.
    """
    wanted, unwanted = _expression(include, "include"), _expression(exclude, "exclude")
    names = sorted(parameters, key=natural) if by_name else list(parameters)
    network = Network([])
    if by_name:
        network.order = "by name (the file is sorted); the execution was not observed"
    for name in names:
        shape = tuple(int(n) for n in parameters[name].shape)
        for found in _found(name, shape, parameters):
            if isinstance(found, str):
                network.left_out[name] = found
            elif (wanted and not wanted.search(found.name)) or (unwanted and unwanted.search(found.name)):
                network.left_out[found.name] = "not asked for (include, exclude)"
            else:
                network.layers.append(found)
    _attach_normalisations(network.layers, names, parameters, by_name)
    return network


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers inside names by value."""
    # The number itself after its length: Python makes no number of 5,000 digits.
    parts = [(part, part.lstrip("0")) for part in _DIGITS.split(str(name))]
    return [(0, len(digits), digits) if part.isdecimal() else (1, 0, part) for part, digits in parts]


def _expression(text: str | None, what: str) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise InputError(f"{what}={text!r} is no regular expression ({error})") from None


def _found(name: str, shape: tuple[int, ...], parameters: Mapping[str, Any]) -> list[FileLayer | str]:
    """Layers of one parameter, or why there is none; nothing of what has fewer than two axes."""
    if len(shape) < 2:
        return []
    if 0 in shape:
        return [f"has no values: it is {'×'.join(map(str, shape))}"]
    if not is_real(parameters[name]):
        return ["its values are not floating-point numbers"]
    match = _WEIGHT.match(name)
    projections = _PROJECTIONS.match(name)
    if projections and len(shape) == 2 and shape[0] % 3 == 0:
        size = shape[0] // 3
        return [
            FileLayer(f"{projections['layer']}.{letter}_proj", name, shape, slice(i * size, (i + 1) * size))
            for i, letter in enumerate("qkv")
        ]
    if match is None:
        return ["a parameter that is not named as the weight of a layer (*.weight)"]
    if len(shape) > 5:
        return [f"has {len(shape)} axes: neither a convolution nor a linear layer"]
    if len(shape) == 2 and _EMBEDDING.search(match["layer"]):
        return ["an embedding by its name: its rows are entries of a table, not filters"]
    bias = parameters.get(f"{match['layer']}.bias")
    width = int(bias.shape[0]) if bias is not None and len(bias.shape) == 1 else shape[0]
    # A bias that fits the second axis alone: a transposed convolution, or a linear layer stored inputs first.
    axis = 1 if width == shape[1] != shape[0] else 0
    return [FileLayer(match["layer"], name, shape, filter_axis=axis)]


def is_real(leaf: Any) -> bool:
    """Whether an array or tensor is of floating-point numbers, none of them complex."""
    return bool(leaf.is_floating_point()) if hasattr(leaf, "is_floating_point") else leaf.dtype.kind == "f"


def _attach_normalisations(
    layers: list[FileLayer], names: list[str], parameters: Mapping[str, Any], by_name: bool
) -> None:
    """A BatchNorm goes with the layer of its own number (bn1, conv1), else with the one before it."""
    place = {name: i for i, name in enumerate(names)}
    if len(layers) * sum(name.endswith("running_mean") for name in names) > _MOST_PAIRS:
        return  # no network: each would be compared with each
    for name in names:
        norm, _, last = name.rpartition(".")
        if last != "running_mean":
            continue
        if not len(parameters[name].shape):
            continue
        width = int(parameters[name].shape[0])
        free = [layer for layer in layers if not layer.normalisation and layer.filters == width]
        same = [layer for layer in free if _number(layer.name) == _number(norm) and _stem(layer.name) != _stem(norm)]
        before = [layer for layer in free if place[layer.parameter] < place[name]]
        if by_name:  # only a Sequential's numbers say what comes before what
            before = [one for one in before if _parent(one.name) == _parent(norm) and _leaf(norm).isdigit()]
        chosen = same[:1] or before[-1:]
        if chosen:
            chosen[0].normalisation = norm


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _stem(name: str) -> str:
    return _leaf(name).rstrip("0123456789")


def _number(name: str) -> tuple[str, str, bool]:
    """Parent and trailing number of a name; two plain numbers of a Sequential never count as the same."""
    leaf = _leaf(name)
    return _parent(name), leaf[len(_stem(name)) :], bool(_stem(name))


__all__ = ["NORMALISATION", "FileLayer", "Network", "architecture", "find_network", "is_real", "natural"]
