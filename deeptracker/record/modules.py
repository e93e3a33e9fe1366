"""Which modules of a model are layers with filters, and why the others are not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import nn

from deeptracker.errors import InputError
from deeptracker.record.layers import Layer, is_distributed
from deeptracker.record.wrappers import clean, is_wrapped

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMALISATIONS = (
    nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm, nn.RMSNorm,
)  # fmt: skip
_TABLES = (nn.Embedding, nn.EmbeddingBag)
Found = Layer | tuple[str, str]  # or (name, why not)


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
    tables: dict[int, str] = {}
    wrapped = is_wrapped(model)
    for raw_name, module in model.named_modules(remove_duplicate=False):  # a module used twice has two names
        name = clean(raw_name, wrapped)
        if ".parametrizations." in f".{name}." or name in left_out:
            continue
        if isinstance(module, _TABLES):
            tables.setdefault(id(module._parameters.get("weight")), name)
        for found in _found(name, module):
            if isinstance(found, tuple):
                left_out[found[0]] = found[1]
                continue
            key = id(found.parameter), found.part.start if found.part else 0
            if owners.get(key) == found.name:
                continue  # the same module by a name that only a wrapper makes another one
            if key in owners:
                left_out[found.name] = f"shares its weights with {owners[key]}"
            elif (wanted and not wanted.search(found.name)) or (unwanted and unwanted.search(found.name)):
                left_out[found.name] = "not asked for (include, exclude)"
            else:
                owners[key] = found.name
                found.number = len(layers)
                layers.append(found)
    for layer in layers:
        if (table := tables.get(id(layer.parameter))) is not None:
            layer.note = "; ".join(filter(None, [layer.note, f"its weights are also the table of {table}"]))
    if not layers:
        why = next((f" ({name}: {reason})" for name, reason in left_out.items()), "")
        raise InputError(
            f"no layer to record: the model has no convolution or linear layer that include/exclude allow{why}"
        )
    return layers, left_out


def _expression(text: str | None, what: str) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise InputError(f"{what}={text!r} is no regular expression ({error})") from None


def _found(name: str, module: nn.Module) -> Iterator[Found]:
    """Layers of one module, or (name, why not)."""
    kind = type(module).__name__
    shown = name or kind  # a model that is one layer has no name of its own
    if isinstance(module, nn.MultiheadAttention):
        yield from _attention(name, module)
    elif isinstance(module, (*CONVOLUTIONS, *TRANSPOSED, nn.Linear, nn.Bilinear)) or _is_conv1d(module):
        yield _plain(shown, module)
    elif isinstance(module, _TABLES):
        yield shown, f"{kind}: its rows are entries of a table, not filters"
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
        yield shown, f"{kind}: its rows are gates, not filters"
    elif type(module).__module__.startswith("torch.ao.nn.quantized") and "Packed" not in kind:
        yield shown, f"{kind}: its weights are packed (quantised)"
    elif not isinstance(module, NORMALISATIONS):
        for attribute, parameter in module._parameters.items():
            lazy = parameter is not None and bool(nn.parameter.is_lazy(parameter))
            if parameter is not None and (lazy or parameter.ndim >= 2):
                reason = "has no weights yet" if lazy else f"a parameter of {kind}, not the weight of a layer"
                yield f"{name}.{attribute}".lstrip("."), reason


def _is_conv1d(module: nn.Module) -> bool:
    """The linear layer of GPT-2 in transformers: weights are inputs × outputs."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def _plain(name: str, module: nn.Module) -> Found:
    owner, attribute, note = module, "weight", ""
    if nn.utils.parametrize.is_parametrized(module, "weight"):
        # Reading the weight would compute it anew, and a spectral norm then changes its buffers.
        owner = module.get_submodule("parametrizations.weight")
        fitting = [key for key, p in owner._parameters.items() if p is not None and tuple(p.shape) == _shape(module)]
        if not fitting:
            return name, "its weight is computed from parameters of another shape"
        attribute, note = fitting[-1], "parametrized: statistics of the parameter under it"
    elif "weight_v" in module._parameters:
        attribute, note = "weight_v", "weight_norm: statistics of the direction"
    elif "weight_orig" in module._parameters:
        attribute, note = "weight_orig", "statistics of weight_orig, before the mask or norm"
    weight = owner._parameters.get(attribute)
    if weight is None:
        return name, "its weight is computed, not a parameter"
    if (reason := _unreadable(weight, 2 if _is_conv1d(module) else len(_shape(module)))) is not None:
        return name, reason
    if isinstance(module, TRANSPOSED):
        return Layer(name, module, owner, attribute, weight.shape[1] * module.groups, None, 1, module.groups, note)
    if _is_conv1d(module):
        return Layer(name, module, owner, attribute, weight.shape[1], None, 1, 1, note)
    return Layer(name, module, owner, attribute, weight.shape[0], note=note)


def _shape(module: nn.Module) -> tuple[int, ...]:
    """What a layer's weight should be, by its own word."""
    if isinstance(module, nn.Bilinear):
        return module.out_features, module.in1_features, module.in2_features
    if isinstance(module, TRANSPOSED):
        return module.in_channels, module.out_channels // module.groups, *module.kernel_size
    if isinstance(module, CONVOLUTIONS):
        return module.out_channels, module.in_channels // module.groups, *module.kernel_size
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    return tuple(getattr(module, "weight").shape)  # noqa: B009 - Conv1D of another library


def _unreadable(weight: torch.Tensor, axes: int) -> str | None:
    """Why a weight cannot be read as filters, or None where it can."""
    lazy: bool = nn.parameter.is_lazy(weight)
    if lazy or weight.numel() == 0 or weight.is_meta:
        return "has no weights yet"
    if not weight.is_floating_point():
        return f"its weights are {str(weight.dtype).removeprefix('torch.')}"
    if weight.layout != torch.strided:
        return f"its weights are {str(weight.layout).removeprefix('torch.')}"
    if weight.ndim != axes:
        return f"its weights lie in {weight.ndim} axes instead of {axes} (flattened)"
    kind = type(weight.data)
    if kind not in (torch.Tensor, nn.Parameter) and not is_distributed(weight):
        return f"its weights are a {kind.__name__}"
    return None


def _attention(name: str, module: nn.MultiheadAttention) -> Iterator[Found]:
    """The input projections; the output projection is a linear layer of its own."""
    size = module.embed_dim
    for number, letter in enumerate("qkv"):
        layer = f"{name}.{letter}_proj".lstrip(".")
        packed = module._parameters.get("in_proj_weight") is not None
        attribute = "in_proj_weight" if packed else f"{letter}_proj_weight"
        weight = module._parameters.get(attribute)
        if weight is None:
            yield layer, "its weight is computed, not a parameter"
        elif (reason := _unreadable(weight, 2)) is not None:
            yield layer, reason
        else:
            part = slice(number * size, (number + 1) * size) if packed else None
            yield Layer(layer, module, module, attribute, size, part)


__all__ = ["NORMALISATIONS", "find_layers"]
