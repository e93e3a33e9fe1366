"""The counterfactual of an event: would its classes be answered better, had its filters stayed as they were?"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import nn

from deeptracker.errors import InputError
from deeptracker.record.evaluate import evaluate
from deeptracker.record.layers import Layer
from deeptracker.record.modules import find_layers
from deeptracker.record.wrappers import unwrapped
from deeptracker.store import Run

Channels = dict[str, npt.NDArray[np.int64]]
"""Filters of each layer, by its name."""


def counterfactual(
    run: Run,
    event: Mapping[str, Any],
    model: nn.Module,
    earlier: Mapping[str, torch.Tensor],
    loader: Iterable[Any],
    *,
    filters: Mapping[str, Sequence[int]] | None = None,
    draws: int = 99,
    seed: int = 0,
) -> xr.Dataset:
    """Restore an event's filters and evaluate its classes; beside it, as many filters of the same layers at random.

    A filter is restored with its weights, its bias, and its channel of the normalisation that follows (γ, β and the
    running statistics); the biases of an attention's projections stay. The model, its training flags and all random
    states are as before afterwards.

    Parameters
    ----------
    run : the run, whose architecture tells which normalisation follows which layer.
    event : one of ``run.event_documents()``.
    model : with the weights of a checkpoint after the event.
    earlier : ``state_dict`` of a checkpoint before it.
    loader : of (images, targets) batches, not shuffled; targets number the classes as in the run.
    filters : what is restored, layer → channels; by default the filters that the event names.
    draws : sets of filters drawn at random.
    seed : of these draws.

    Returns
    -------
    Over ``class`` (those of the event, and "all"): ``images`` evaluated; ``accuracy`` (state, class) of "as-is" and
    "restored"; ``random`` (draw, class), the accuracies with other filters restored; ``p`` (class), the share of
    draws that did as well, the event's own filters counted as one draw more: small where these filters matter more
    than any of their layers. Accuracies are shares, NaN for a class without an image.

    Raises
    ------
    InputError
        The event names no filter, the model or the checkpoint is of another net, a class is unknown.

    Notes
    -----
    Draws are from all filters of a layer, the suspects among them, so that ``p`` is that of a permutation test
    (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585). It tells of this checkpoint and these images only.
    """
    suspects = _suspects(event, filters)
    if draws < 1:
        raise InputError(f"draws={draws}: at least one set of other filters is needed to compare with")
    inner = unwrapped(model)
    layers = _layers(inner, run, suspects)
    classes = _classes(run, event)
    before = _before(inner, earlier)
    rng = np.random.default_rng(seed)

    def accuracies(chosen: Channels) -> npt.NDArray[np.float64]:
        with _restored(inner, before, layers, chosen):
            return _accuracies(evaluate(inner, loader), classes)

    answers = evaluate(inner, loader)
    counts, as_is, restored = _counts(answers["target"], classes), _accuracies(answers, classes), accuracies(suspects)
    others = np.stack(
        [
            accuracies({name: rng.choice(layers[name].filters, len(some), False) for name, some in suspects.items()})
            for _ in range(draws)
        ]
    )
    p = np.where(counts > 0, (1 + (others >= restored).sum(0)) / (draws + 1), np.nan)
    return xr.Dataset(
        {
            "images": ("class", counts, {"long_name": "images evaluated"}),
            "accuracy": (("state", "class"), np.stack([as_is, restored]), {"units": "1"}),
            "random": (
                ("draw", "class"),
                others,
                {"units": "1", "long_name": "accuracy with other filters restored"},
            ),
            "p": ("class", p, {"units": "1", "long_name": "share of draws that did as well"}),
        },
        coords={"class": [*classes, "all"], "state": ["as-is", "restored"]},
        attrs={
            "iteration": int(event["iteration"]),
            "filters": sum(len(some) for some in suspects.values()),
            "layers": ", ".join(suspects),
        },
    )


def _suspects(event: Mapping[str, Any], filters: Mapping[str, Sequence[int]] | None) -> Channels:
    if filters is None:
        named: dict[str, list[int]] = {}
        for one in event.get("filters", ()):
            named.setdefault(one["layer"], []).append(one["channel"])
        filters = named
    suspects = {name: np.unique(np.asarray(some, np.int64)) for name, some in filters.items() if len(some)}
    if not suspects:
        where = f"the event at {event['iteration']} names no filter"
        raise InputError(f"{where}: say which to restore, filters={{layer: [channels]}}")
    return suspects


@dataclass(frozen=True, slots=True)
class _Place:
    """A layer, and the names of the parameters and buffers that hold its filters' channels."""

    layer: Layer
    weight: str
    channelwise: list[str]

    @property
    def filters(self) -> int:
        return self.layer.filters


def _layers(model: nn.Module, run: Run, suspects: Channels) -> dict[str, _Place]:
    names = {id(tensor): name for name, tensor in model.state_dict(keep_vars=True).items()}
    modules = dict(model.named_modules())
    table = run.dataset("architecture")
    follows = dict(zip(table["layer"].values.tolist(), table["normalisation"].values.tolist(), strict=True))
    found = {layer.name: layer for layer in find_layers(model)[0]}
    out = {}
    for name, channels in suspects.items():
        layer = found.get(name)
        if layer is None:
            raise InputError(f"the model has no layer {name!r}: give the model that the run recorded")
        if channels[0] < 0 or channels[-1] >= layer.filters:
            raise InputError(f"{name} has {layer.filters} filters, not one of number {int(channels[-1])}")
        held = [getattr(layer.module, "bias", None)]
        if (norm := modules.get(follows.get(name, "") or "-")) is not None:
            held += [getattr(norm, key, None) for key in ("weight", "bias", "running_mean", "running_var")]
        fitting = [names[id(one)] for one in held if one is not None and one.shape == (layer.filters,)]
        out[name] = _Place(layer, names[id(layer.parameter)], fitting)
    return out


def _before(model: nn.Module, earlier: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    state = {name: one for name, one in model.state_dict().items() if isinstance(one, torch.Tensor)}
    for name, tensor in state.items():
        if name not in earlier:
            raise InputError(f"the earlier checkpoint has no {name!r}: give the state_dict of the same model")
        if earlier[name].shape != tensor.shape:
            shapes = f"{tuple(earlier[name].shape)} instead of {tuple(tensor.shape)}"
            raise InputError(f"{name!r} of the earlier checkpoint is {shapes}: give that of the same model")
    return {name: earlier[name].to(tensor.device, tensor.dtype) for name, tensor in state.items()}


@contextmanager
def _restored(
    model: nn.Module, before: Mapping[str, torch.Tensor], places: Mapping[str, _Place], chosen: Channels
) -> Iterator[None]:
    """Inside, these filters are as they were before."""
    state = model.state_dict()  # shares memory with the model
    touched = {name for place in places.values() for name in (place.weight, *place.channelwise)}
    kept = {name: copy.deepcopy(state[name]) for name in touched}
    try:
        for name, channels in chosen.items():
            place, at = places[name], torch.as_tensor(channels)
            place.layer.copy_filters(before[place.weight], state[place.weight], at)
            for other in place.channelwise:
                state[other][at] = before[other][at]
        yield
    finally:
        for name, tensor in kept.items():
            state[name].copy_(tensor)


def _classes(run: Run, event: Mapping[str, Any]) -> dict[str, int]:
    """Number of each class of the event, by its name."""
    if not event.get("classes"):
        return {}
    known = [str(name) for name in run.dataset("images/validation")["class"].values]
    return {name: known.index(name) for name in event["classes"]}


def _counts(target: npt.NDArray[Any], classes: Mapping[str, int]) -> npt.NDArray[np.int64]:
    return np.array([*((target == number).sum() for number in classes.values()), len(target)], np.int64)


def _accuracies(answers: Mapping[str, Any], classes: Mapping[str, int]) -> npt.NDArray[np.float64]:
    right, target = answers["predicted"] == answers["target"], answers["target"]
    parts = [*(right[target == number] for number in classes.values()), right]
    return np.array([part.mean() if len(part) else np.nan for part in parts])


__all__ = ["counterfactual"]
