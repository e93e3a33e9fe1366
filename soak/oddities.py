"""Odd runs: a small training with something unusual in it, recorded, and what of it was true all along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import deeptracker as dt
from deeptracker.record import scalars as recorded_scalars

Array = np.ndarray[Any, Any]
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Odd:
    """What is unusual about a run; as it stands, nothing is.

    Parameters
    ----------
    steps : iterations. layers : names of its convolution and its linear layers, one or more. filters : of the
        convolution.
    spoil : a key of ``SPOILS``, done to the model from the middle of the training on.
    losses : a key of ``LOSSES``. target : class of each image. classes, ids : what they are called.
    answers : a key of ``ANSWERS``. each : so many steps from one validation pass to the next, 0 = none.
    scalars : name → a key of ``LOSSES``. clock : a key of ``CLOCKS``. every : filters are recorded at such steps.
    """

    steps: tuple[int, ...] = tuple(range(20))
    layers: tuple[str, ...] = ("conv", "fc")
    filters: int = 3
    spoil: str = ""
    losses: str = "usual"
    target: tuple[int, ...] = (2, 0, 1) * 4
    classes: tuple[str, ...] | None = ("a", "b", "c")
    ids: tuple[Any, ...] | None = None
    answers: str = "drawn"
    each: int = 2
    scalars: Mapping[str, str] = field(default_factory=dict)
    clock: str = ""
    every: int = 1


@dataclass
class Truth:
    """What happened in a run, kept beside the recorder: weights and gradients (record, filter, weight) by layer."""

    odd: Odd
    initial: dict[str, Array] = field(default_factory=dict)
    weights: dict[str, list[Array]] = field(default_factory=dict)
    gradients: dict[str, list[Array]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    scalars: dict[str, list[float]] = field(default_factory=dict)
    passes: list[int] = field(default_factory=list)
    predicted: list[Array] = field(default_factory=list)

    @property
    def records(self) -> list[int]:
        """Iterations at which filters were recorded."""
        return [step for step in self.odd.steps if step % self.odd.every == 0]


def _whole_layer(value: float) -> Callable[[Any, Any], None]:
    def spoil(first: Any, last: Any) -> None:
        first.weight.data.fill_(value)
        last.weight.data.fill_(value)

    return spoil


def _one_filter(first: Any, last: Any) -> None:
    first.weight.data[0] = NAN


def _one_weight(first: Any, last: Any) -> None:
    first.weight.data[0, 0, 0, 0] = -INF


def _gradients(first: Any, last: Any) -> None:
    last.weight.grad[0] = INF
    last.weight.grad[1, 0] = NAN


SPOILS: dict[str, Callable[[Any, Any], None]] = {
    "": lambda first, last: None,
    "one filter NaN": _one_filter,
    "one weight −Inf": _one_weight,
    "all weights Inf": _whole_layer(INF),
    "all weights NaN": _whole_layer(NAN),
    "all weights zero": _whole_layer(0.0),
    "weights 1e30": _whole_layer(1e30),
    "gradients not finite": _gradients,
    "frozen": lambda first, last: None,
}
LOSSES: dict[str, Callable[[int], float]] = {
    "usual": lambda i: 2.0 / (1 + i),
    "NaN at times": lambda i: NAN if i % 3 == 1 else 1.0 + i,
    "NaN for ever": lambda i: NAN,
    "Inf at times": lambda i: (1.0, INF, -INF)[i % 3],
    "Inf for ever": lambda i: INF,
    "negative": lambda i: -1.0 - i,
    "huge": lambda i: 1e300 * (i + 1),
    "tiny": lambda i: 5e-324 * i,
}
ANSWERS: dict[str, Callable[[Array, np.random.Generator, int], Array]] = {
    "drawn": lambda target, random, i: np.where(random.random(len(target)) < 0.6, target, 0),
    "all right": lambda target, random, i: target.copy(),
    "all wrong": lambda target, random, i: target + 1,
    "none at times": lambda target, random, i: np.where(random.random(len(target)) < 0.4, -1, target),
    "none at all": lambda target, random, i: np.full(len(target), -1),
    "NaN at times": lambda target, random, i: np.where(random.random(len(target)) < 0.4, NAN, target),
    "past the classes": lambda target, random, i: np.where(random.random(len(target)) < 0.5, 32_767, target),
}
CLOCKS: dict[str, Callable[[int], float]] = {
    "": lambda i: 1.6e9 + i,
    "backwards": lambda i: 1.6e9 - 60.0 * i,
    "back an hour": lambda i: 1.6e9 + i - (3600 if i > 10 else 0),
    "stands still": lambda i: 1.6e9,
    "years ahead": lambda i: 1.6e9 + (4e9 if i > 10 else 0) + i,
    "before 1970": lambda i: -1e4 + i,
}


@contextmanager
def _clock(kind: str) -> Iterator[None]:
    class Told:
        """In the place of the module ``time``, for what is written beside each step."""

        asked = -1

        def time(self) -> float:
            self.asked += 1
            return CLOCKS[kind](self.asked)

    real, recorded_scalars.time = recorded_scalars.time, Told()  # type: ignore[assignment]
    try:
        yield
    finally:
        recorded_scalars.time = real


class Net(nn.Module):
    """A convolution and linear layers, called as they are told to be; those after the first keep lengths."""

    def __init__(self, odd: Odd) -> None:
        super().__init__()
        self._called = odd.layers
        self._modules[odd.layers[0]] = nn.Conv2d(1, odd.filters, 3)
        self._modules[odd.layers[1]] = nn.Linear(9 * odd.filters, 3)
        for name in odd.layers[2:]:
            self._modules[name] = more = nn.Linear(3, 3)
            nn.init.orthogonal_(more.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *others = (self._modules[name] for name in self._called)
        x = first(x).flatten(1)  # type: ignore[misc]
        for layer in others:
            x = layer(x)  # type: ignore[misc]
        return x


def record(odd: Odd, path: Path, seed: int = 0, halfway: Callable[[], None] | None = None) -> Truth:
    """Train and record; returns what is true. ``halfway`` is called while the recorder goes on."""
    torch.manual_seed(seed)
    random, truth, model = np.random.default_rng(seed), Truth(odd), Net(odd)
    first, last, *more = (model._modules[name] for name in odd.layers)
    if odd.spoil == "frozen":
        first.weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    layers = dict(zip(odd.layers, (first, last, *more), strict=True))
    truth.initial = {name: _rows(layer.weight) for name, layer in layers.items()}
    truth.weights, truth.gradients = {name: [] for name in layers}, {name: [] for name in layers}
    truth.scalars = {name: [] for name in odd.scalars}
    target = np.array(odd.target, np.int64)
    with (
        _clock(odd.clock),
        redirect_stderr(StringIO()),
        dt.Recorder(path, model, optimizer=optimizer, every=odd.every, strict=True) as recorder,
    ):
        if odd.each:
            recorder.images(target=target, classes=odd.classes, ids=None if odd.ids is None else np.array(odd.ids))
        for i, step in enumerate(odd.steps):
            output = model(torch.from_numpy(random.normal(size=(4, 1, 5, 5)).astype(np.float32)))
            optimizer.zero_grad()
            nn.functional.cross_entropy(output, torch.from_numpy(random.integers(0, 3, 4))).backward()
            if 2 * i >= len(odd.steps):
                SPOILS[odd.spoil](first, last)
            gradients = {name: _rows(layer.weight.grad, layer.weight) for name, layer in layers.items()}
            optimizer.step()
            if step % odd.every == 0:
                for name, layer in layers.items():
                    truth.weights[name].append(_rows(layer.weight))
                    truth.gradients[name].append(gradients[name])
            truth.losses.append(LOSSES[odd.losses](i))
            for name, kind in odd.scalars.items():
                truth.scalars[name].append(LOSSES[kind](i))
            recorder.log(step, **{name: values[-1] for name, values in truth.scalars.items()})
            recorder.step(step, loss=truth.losses[-1])
            if halfway is not None and i == len(odd.steps) // 2:
                recorder.flush()
                halfway()
            if odd.each and i % odd.each == 0:
                truth.passes.append(step)
                given = ANSWERS[odd.answers](target, random, i)
                truth.predicted.append(np.where(np.isnan(given), -1, given).astype(np.int64))
                recorder.validation(step, predicted=given, loss=np.where(given == target, 0.1, NAN))
    return truth


def _rows(tensor: torch.Tensor | None, like: torch.Tensor | None = None) -> Array:
    """Filters × weights, float64; of no weights where there is no gradient."""
    if tensor is None:
        return np.empty((0 if like is None else len(like), 0))
    return tensor.detach().flatten(1).double().numpy().copy()


__all__ = ["ANSWERS", "CLOCKS", "LOSSES", "SPOILS", "Odd", "Truth", "record"]
