"""The snapshots of one training: when they are due, what is read where, which rows they become."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from deeptracker.conform import build
from deeptracker.errors import InputError
from deeptracker.record.describe import find_layers
from deeptracker.record.hooks import Hooks
from deeptracker.record.host import host_facts
from deeptracker.record.measure import Measurer
from deeptracker.record.probe import Probe
from deeptracker.record.schedule import Schedule
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.sink import Sink
from deeptracker.statistics import HISTOGRAM_EDGES, THRESHOLDS, warm_up

_RESERVED = {
    "loss",
    "learning_rate",
    "grad_norm",
    "steps",
    "step_skipped",
    "wall_time",
    "recorder_seconds",
    "iteration",
}


class Snapshots:
    """Reads a training at its schedules and appends rows to a sink. Gradients are those the optimizer receives."""

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        *,
        dense: Schedule,
        full: Schedule,
        probe: Probe | None,
        probing: Schedule,
        include: str | None,
        exclude: str | None,
        guard: Callable[[Callable[[], None]], None],
    ) -> None:
        warm_up()
        self.records = 0
        self._dense, self._full, self._probing, self._probe = dense, full, probing, probe
        self._optimizers = optimizers
        self._model = model
        self._description = find_layers(model, include, exclude)
        self._initial = {
            layer.name: layer.rows(layer.parameter).copy() for layer in self._description.layers
        }  # by name: the order of execution is not known before the first pass
        self._own_initial = self._initial
        self._measurer: Measurer | None = None
        self._rates: list[float] | None = None
        self._gradients: list[Any] | None = None
        self._weights_read = False
        self._optimizer_stepped = False
        self._next: int | None = None
        self._last: dict[str, int] = {}
        self._opened: set[str] = set()
        self._notes: dict[int, dict[str, float]] = {}
        self._assign_groups()
        self._hooks = Hooks(
            model, optimizers, self._description, before=self._before_step, after=self._after_step, guard=guard
        )

    @property
    def pending(self) -> bool:
        """Scalars were noted that no step has taken."""
        return bool(self._notes)

    def remove(self) -> None:
        """Take the hooks off."""
        self._hooks.remove()

    def note(self, step: int, scalars: dict[str, float]) -> None:
        """Keep scalars until the row of ``step`` is written."""
        wrong = _RESERVED & scalars.keys()
        if wrong:
            raise InputError(f"log(): {sorted(wrong)[0]!r} is a name of DeepTracker's own; choose another")
        self._notes.setdefault(step, {}).update({name: float(value) for name, value in scalars.items()})

    def restore(self, sink: Sink) -> None:
        """Take the weights at construction from an earlier session of the same run, where there was one."""
        architecture = sink.get("architecture")
        if architecture is None:
            return
        shapes = dict(
            zip(architecture["layer"].values.tolist(), architecture["filters"].values.tolist(), strict=True)
        )
        mine = {layer.name: layer.filters for layer in self._description.layers}
        if shapes != mine:
            raise InputError("the run was recorded from another model (layers differ); choose another path")
        self._own_initial = dict(self._initial)
        for number, name in enumerate(architecture["layer"].values.tolist()):
            stored = sink.get(f"initial/{number}")
            if stored is not None:
                self._initial[name] = np.ascontiguousarray(stored["weight"].values)

    def forget(self) -> None:
        """The run is another one after all: the weights at construction are those of this model."""
        if self._measurer is not None:
            names = [layer.name for layer in self._description.layers]
            self._measurer.initial = [self._own_initial[name] for name in names]
        self._initial = self._own_initial

    def begin(self, sink: Sink) -> None:
        """Write the attributes of the run; the architecture follows once the first pass has told its order."""
        sink.describe(
            {
                "schema_version": SCHEMA_VERSION,
                "model": type(self._model).__name__,
                "framework": "torch",
                "host": host_facts(),
                "optimizers": [type(optimizer).__name__ for optimizer in self._optimizers],
                "schedules": {
                    "dense": self._dense.every,
                    "full": self._full.every,
                    "probe": self._probing.every if self._probe else None,
                },
                "started": time.time(),
            }
        )

    # Inside optimizer.step()

    def _due(self, step: int | None) -> bool:
        return step is not None and (self._dense.due(step) or self._full.due(step))

    def _before_step(self) -> None:
        self._rates = self._learning_rates()
        self._optimizer_stepped = True
        # The number of the step is told after it; the one that follows the last is the best guess.
        step = self._next if self._next is not None else self._dense.start
        if self._due(step) or self._next is None:
            measurer = self._measure()
            measurer.read_gradients()
            if self._full.due(step):
                self._gradients = measurer.gradients()

    def _after_step(self) -> None:
        if self._due(self._next) or self._next is None:
            self._measure().read_weights()
            self._weights_read = True

    # In recorder.step()

    def step(self, sink: Sink, step: int, loss: Any, batch: tuple[Any, Any] | None) -> None:
        """Write the rows of ``step``: scalars always, snapshots where they are due."""
        began = time.perf_counter()
        if self._next is not None and step < self._next:
            raise InputError(f"step {step} was called after step {self._next - 1}: steps must increase")
        row: dict[str, Any] = {
            "loss": np.nan
            if loss is None
            else float(loss.detach())
            if isinstance(loss, torch.Tensor)
            else float(loss),
            "learning_rate": np.array(self._rates if self._rates is not None else self._learning_rates(), np.float64),
            "grad_norm": np.nan,
            "steps": self._since("scalars", step),
            "step_skipped": int(bool(self._optimizers) and not self._optimizer_stepped),
            "wall_time": time.time(),
        }
        if self._dense.due(step):
            row["grad_norm"] = self._dense_record(sink, step)
        if self._full.due(step):
            filters, layers = self._measure().full(self._gradients)
            self._ready(sink, "full")
            sink.append("filters/full", step, filters)
            sink.append("layers/full", step, layers)
        if self._probe is not None and self._probing.due(step):
            filters, layers = self._probe.measure(self._description)
            self._ready(sink, "probe")
            sink.append("filters/probe", step, filters)
            sink.append("layers/probe", step, layers)
        if batch is not None:
            ids, labels = (np.atleast_1d(np.asarray(x)) if x is not None else None for x in batch)
            size = len(ids if ids is not None else labels)  # type: ignore[arg-type]
            missing = np.full(size, -1)
            sink.append("batches", step, {"batch_ids": missing if ids is None else ids,
                                          "batch_labels": missing if labels is None else labels})  # fmt: skip
        row |= self._notes.pop(step, {})
        row["recorder_seconds"] = time.perf_counter() - began
        if "scalars" not in self._last:
            sink.coordinates("scalars", {"param_group": np.arange(len(row["learning_rate"]))})
        sink.append("scalars", step, row)
        self._last["scalars"] = step
        self._next = step + 1
        self._rates, self._gradients = None, None
        self._weights_read = self._optimizer_stepped = False

    def _dense_record(self, sink: Sink, step: int) -> float:
        measurer = self._measure()
        if not self._optimizer_stepped:
            measurer.read_gradients()
        if not self._weights_read:
            measurer.read_weights()
        filters, layers, norm = measurer.standard()
        self._ready(sink, "dense")
        filters["steps"] = layers["steps"] = self._since("dense", step)  # type: ignore[assignment]
        sink.append("filters/dense", step, filters)
        sink.append("layers/dense", step, layers)
        self._last["dense"] = step
        self.records += 1
        return norm

    def _since(self, group: str, step: int) -> int:
        return step - self._last[group] if group in self._last else -1

    def _learning_rates(self) -> list[float]:
        return [float(group["lr"]) for optimizer in self._optimizers for group in optimizer.param_groups]

    def _assign_groups(self) -> None:
        groups = [group["params"] for optimizer in self._optimizers for group in optimizer.param_groups]
        place = {id(parameter): number for number, members in enumerate(groups) for parameter in members}
        for layer in self._description.layers:
            layer.lr_group = place.get(id(layer.parameter), -1)

    def _measure(self) -> Measurer:
        if self._measurer is None:
            self._hooks.finish()
            self._measurer = Measurer(
                self._description, [self._initial[layer.name] for layer in self._description.layers]
            )
            self._initial = {}
        return self._measurer

    def _ready(self, sink: Sink, schedule: str) -> None:
        """Before the first row of a schedule: the architecture, and the coordinates of the other axes."""
        if schedule in self._opened:
            return
        if not self._opened:
            self._put_architecture(sink)
        self._opened.add(schedule)
        names = [layer.name for layer in self._description.layers]
        extra = {"bin": HISTOGRAM_EDGES, "threshold": THRESHOLDS} if schedule == "full" else {}
        sink.coordinates(f"filters/{schedule}", {})
        sink.coordinates(f"layers/{schedule}", {"layer": names, **extra})

    def _put_architecture(self, sink: Sink) -> None:
        if sink.get("architecture") is not None:
            return
        measurer = self._measure()
        norms = np.array([np.sqrt(np.sum(rows.astype(np.float64) ** 2)) for rows in measurer.initial])
        sink.put("architecture", self._description.dataset(norms))
        for number, rows in enumerate(measurer.initial):
            sink.put(f"initial/{number}", _initial(rows))


def _initial(rows: Any) -> xr.Dataset:
    return build("initial/<number>", {"weight": rows}, {})
