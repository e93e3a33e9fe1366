"""One checkpoint file as named parameters, gradients, momentum, learning rates and counters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deeptracker.ingest.arrays import is_array, load, number
from deeptracker.ingest.foreign import understood

_MODELS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights")
_OPTIMIZERS = ("optimizer", "optimizer_state_dict", "optimizer_states", "optim", "optimizers")
_STEPS = ("global_step", "step", "steps", "iteration", "iter", "it", "n_iter")
_EPOCHS = ("epoch", "current_epoch")
_LOSSES = ("loss", "train_loss", "training_loss")
_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
_GRADIENT = re.compile(r"^(?:grads?|gradients?)[/.](?P<front>.+)$|^(?P<back>.+)\.grad$")
_MOMENTUM = re.compile(r"^(?:momentum|exp_avg)[/.](?P<front>.+)$|^(?P<back>.+)\.(?:momentum_buffer|exp_avg)$")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")

Say = Callable[[str, str], None]


@dataclass(slots=True)
class Checkpoint:
    """Parameters and buffers by name, in the order of the file; leaves are arrays or tensors, perhaps on disk.

    ``momentum`` holds (buffer, factor) a parameter: their product is an average of past gradients.
    """

    name: str
    parameters: dict[str, Any]
    gradients: dict[str, Any] = field(default_factory=dict)
    momentum: dict[str, tuple[Any, float]] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    rate_groups: dict[str, int] = field(default_factory=dict)
    step: int | None = None
    epoch: float | None = None
    loss: float | None = None


def read_checkpoint(path: Path, say: Say) -> Checkpoint:
    """Open a checkpoint; ``say(what, why)`` hears of every part that is not used.

    Raises
    ------
    InputError, MissingExtraError
        The file cannot be read, or reading it would run code.
    """
    content = load(path)
    with understood(path.name):
        return _checkpoint(path, content, say)


def _checkpoint(path: Path, content: dict[str, Any], say: Say) -> Checkpoint:
    model = _model_of(content, say)
    found = Checkpoint(path.name, {})
    for name, leaf in _flat(model):
        gradient, momentum = _GRADIENT.match(name), _MOMENTUM.match(name)
        if gradient:
            found.gradients[gradient["front"] or gradient["back"]] = leaf
        elif momentum:
            found.momentum[momentum["front"] or momentum["back"]] = leaf, 1.0
        else:
            found.parameters[name] = leaf
    for key in ("grad", "grads", "gradients"):
        if model is not content and isinstance(content.get(key), Mapping):
            found.gradients |= dict(_flat(content[key]))
    clean = _cleaner(list(found.parameters))
    found.parameters = {clean(name): leaf for name, leaf in found.parameters.items()}
    found.gradients = {clean(name): leaf for name, leaf in found.gradients.items()}
    found.momentum = {clean(name): leaf for name, leaf in found.momentum.items()}
    found.step = _whole(_first(content, _STEPS))
    found.epoch, found.loss = _first(content, _EPOCHS), _first(content, _LOSSES)
    for key in _OPTIMIZERS:
        if key in content:
            state = content[key]
            state = state[0] if isinstance(state, list) and len(state) == 1 else state
            try:
                _read_optimizer(found, state, say)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                say("optimizer", "not the state of one torch optimizer")
            break
    return found


def _model_of(content: dict[str, Any], say: Say) -> Mapping[str, Any]:
    """The part of a file that holds the weights."""
    nested = {key: part for key, part in content.items() if isinstance(part, Mapping) and key not in _OPTIMIZERS}
    with_arrays = [key for key, part in nested.items() if any(is_array(leaf) for _, leaf in _flat(part))]
    with_arrays = [key for key in with_arrays if not _GRADIENT.match(f"{key}/x")]
    chosen = next((key for key in _MODELS if key in with_arrays), None)
    if chosen is None and any(is_array(leaf) and len(leaf.shape) > 1 for leaf in content.values()):
        return content
    if chosen is None and len(with_arrays) == 1:
        chosen = with_arrays[0]
    for key in with_arrays:
        if key != chosen:
            say(
                key, f"a second set of arrays beside {chosen!r}" if chosen else "no set of arrays is named as weights"
            )
    return nested[chosen] if chosen is not None else content


def _flat(part: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    out = []
    for key, value in part.items():
        if isinstance(value, Mapping):
            if key not in _OPTIMIZERS:
                out += _flat(value, f"{prefix}{key}.")
        elif is_array(value):
            out.append((f"{prefix}{key}", value))
    return out


def _cleaner(names: list[str]) -> Callable[[str], str]:
    """Names without the wrappers of DDP, FSDP, checkpointing and torch.compile."""
    parts = [[part for part in name.split(".") if part not in _WRAPPERS] for name in names]
    wrapped = bool(parts) and all(path[0] == "module" for path in parts)

    def clean(name: str) -> str:
        path = [part for part in name.split(".") if part not in _WRAPPERS]
        return ".".join(path[1:] if wrapped and path[0] == "module" else path)

    return clean


def _first(content: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    values = (number(content[key]) for key in keys if key in content)
    return next((value for value in values if value is not None), None)


def _whole(value: float | None) -> int | None:
    return int(value) if value is not None and float(value).is_integer() else None


def _read_optimizer(found: Checkpoint, state: Any, say: Say) -> None:
    """Learning rates and momentum: what belongs to which parameter is told by order, and checked by shape."""
    groups = state.get("param_groups") if isinstance(state, Mapping) else None
    if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
        say("optimizer", "not the state of one torch optimizer")
        return
    found.rates = [rate if (rate := number(group.get("lr"))) is not None else float("nan") for group in groups]
    learned = [name for name in found.parameters if not name.endswith(_BUFFERS)]
    ids = [(key, number_) for number_, group in enumerate(groups) for key in group.get("params", [])]
    kept: Mapping[Any, Any] = state.get("state", {})
    by_name = all(isinstance(key, str) for key, _ in ids)
    names = [key if by_name else learned[i] if i < len(learned) else "" for i, (key, _) in enumerate(ids)]
    buffers = [_buffer(kept.get(key, {}), groups[group]) for key, group in ids]
    fits = len(ids) == len(learned) and all(
        name in found.parameters and (buffer is None or tuple(buffer[0].shape) == tuple(found.parameters[name].shape))
        for name, buffer in zip(names, buffers, strict=True)
    )
    if not fits:
        say("optimizer state", "cannot be matched with the parameters by order and shape")
        return
    found.rate_groups = {name: group for name, (_, group) in zip(names, ids, strict=True)}
    found.momentum |= {name: buffer for name, buffer in zip(names, buffers, strict=True) if buffer is not None}


def _buffer(kept: Mapping[str, Any], group: Mapping[str, Any]) -> tuple[Any, float] | None:
    """A momentum buffer and the factor that makes it an average of gradients."""
    if is_array(kept.get("momentum_buffer")):
        momentum, dampening = number(group.get("momentum")) or 0.0, number(group.get("dampening")) or 0.0
        return kept["momentum_buffer"], (1 - momentum) / (1 - dampening) if dampening < 1 else 1.0
    if is_array(kept.get("exp_avg")):
        betas, step = group.get("betas"), number(kept.get("step"))
        if isinstance(betas, list | tuple) and step:
            return kept["exp_avg"], 1 / (1 - float(betas[0]) ** step)
        return kept["exp_avg"], 1.0
    return None


__all__ = ["Checkpoint", "read_checkpoint"]
