"""The snapshots of one training: what is read where, and which rows it becomes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from deeptracker.errors import InputError
from deeptracker.record.batches import Batch, Batches
from deeptracker.record.describe import find
from deeptracker.record.follower import Follower
from deeptracker.record.hooks import Hooks
from deeptracker.record.host import host_facts
from deeptracker.record.hostcopy import HostCopy
from deeptracker.record.layers import Layer
from deeptracker.record.measure import Measurer, Reading
from deeptracker.record.optimizers import Optimizers, either, where_set
from deeptracker.record.outbox import Outbox, Parcel
from deeptracker.record.plan import Plan
from deeptracker.record.presence import Presence
from deeptracker.record.probe import Probe
from deeptracker.record.ranks import is_sharded
from deeptracker.record.raw import raw_rows
from deeptracker.record.scalars import Scalars, arrived, have_arrived
from deeptracker.record.tables import Tables
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.sink import Sink
from deeptracker.statistics import warm_up

Array = np.ndarray[Any, Any]
Rows = dict[str, dict[str, Any]]


@dataclass(slots=True)
class Turn:
    """What the hooks saw of the iteration in progress."""

    rates: list[float | HostCopy] | None = None
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    skipped: torch.Tensor | None = None
    scales: dict[int, torch.Tensor | None] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)
    gradients: dict[int, Array | None] = field(default_factory=dict)


class Snapshots:
    """Reads a training on its plan and appends rows to a sink. Gradients are those the optimizer receives.

    Parameters
    ----------
    plan, probe : what is recorded when; ``probe`` reads the activations.
    include, exclude : regular expressions on names of layers.
    guard : runs our work inside the training, and keeps its faults away from it.
    spent : seconds that recording has taken so far.
    follow : help another rank to read sharded parameters, at the same steps; keep no numbers.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Optimizers,
        plan: Plan,
        *,
        probe: Probe | None,
        include: str | None,
        exclude: str | None,
        guard: Callable[[Callable[[], None]], None],
        spent: Callable[[], float],
        follow: bool = False,
    ) -> None:
        if not follow:
            warm_up()
        self.records = 0
        self.plan, self._probe, self._optimizers, self._model = plan, probe, optimizers, model
        self._description = find(model, include, exclude)
        plan.raw_of(self._description.layers)
        self._tables = Tables(self._description, follow)
        self._presence, self._gone = Presence(model, self._description), list[str]()
        self._follow = follow
        self.config: dict[str, Any] = {}
        self.scalars = Scalars(spent)
        self._batches = Batches()
        self._outbox = Outbox()
        self._measurer: Measurer | None = None
        self._turn = Turn()
        self._updates: Mapping[int, int] = {}
        self._last: int | None = None
        self._stride = 1
        self._last_dense: int | None = None
        optimizers.assign(self._description.layers)
        self._hooks = Hooks(
            model, optimizers.all, self._description, before=self._before_step, guard=guard,
            rehearse=None if probe is None or is_sharded(model) else probe.rehearse,
        )  # fmt: skip

    def remove(self) -> None:
        """Take the hooks off."""
        self._hooks.remove()

    def restore(self, sink: Sink) -> None:
        """Go on with what an earlier session of the same run recorded, where there was one."""
        self._tables.restore(sink)
        self.scalars.groups = self._tables.length(sink, "scalars", "param_group")
        self._batches.size = self._tables.length(sink, "batches", "sample")

    def forget(self) -> None:
        """The run is another one after all: the weights at construction are those of this model."""
        self._tables.forget()
        self.scalars.groups = self._batches.size = None
        if self._measurer is not None:
            self._measurer.restart(self._tables.initial())

    def begin(self, sink: Sink) -> None:
        """Write the attributes of the run; the architecture follows once the first pass has told its order."""
        sink.describe(
            {
                "schema_version": SCHEMA_VERSION,
                "model": type(self._model).__name__,
                "framework": "torch",
                "host": host_facts(),
                "optimizers": [type(optimizer).__name__ for optimizer in self._optimizers.all],
                "started": time.time(),
                **self.plan.attributes(),
                **({"config": self.config} if self.config else {}),
            }
        )

    def flush(self, sink: Sink) -> None:
        """Hand every row to the sink, waiting for those that are on their way."""
        self._outbox.deliver(sink, wait=True)
        self.scalars.shut()

    # Inside optimizer.step()

    def _before_step(self, optimizer: torch.optim.Optimizer) -> None:
        turn = self._turn
        turn.rates = self._optimizers.rates()
        turn.optimizers.append(optimizer)
        turn.skipped = either(turn.skipped, self._optimizers.found_inf(optimizer))
        turn.scales[id(optimizer)] = scale = self._optimizers.scale(optimizer)
        # The number of the step is told after it; as far from the last as that was from the one before it.
        expected = None if self._last is None else self._last + self._stride
        # Of several updates within one iteration the last counts; how many there are, the last iteration tells.
        late = turn.optimizers.count(optimizer) >= self._updates.get(id(optimizer), 1)
        if late and (expected is None or self.plan.reads_gradients(expected)):
            self._gone += self._presence.look()
            keep = self.plan.keeps_any if expected is None else self.plan.keeps_gradients(expected)
            self._read_gradients(turn, self._optimizers.layers_of(optimizer, self._layers()), keep, scale)

    def _read_gradients(self, turn: Turn, layers: list[int], keep: bool, scale: torch.Tensor | None = None) -> None:
        if layers:
            self._measure().read_gradients(layers, scale)
            turn.read.update(layers)
            if keep:
                turn.gradients |= self._measure().gradients(layers, scale)

    def _layers(self) -> list[Layer]:
        """The layers in their final order."""
        self._hooks.finish()
        return self._description.layers

    # In recorder.step()

    def step(self, sink: Sink, step: int, loss: Any, batch: tuple[Any, Any] | None) -> None:
        """Read what is due at ``step``, and send its rows on their way: scalars always."""
        if self._last is not None and step <= self._last:
            raise InputError(f"step {step} was called after step {self._last}: steps must increase")
        turn, self._turn = self._turn, Turn()
        self._updates = Counter(id(optimizer) for optimizer in turn.optimizers)
        self._stride = 1 if self._last is None else step - self._last
        self._last = step
        rates = turn.rates if turn.rates is not None else self._optimizers.rates()
        missed = bool(self._optimizers.all) and not turn.optimizers
        scalars = self.scalars.row(step, loss, rates, 1 if missed else turn.skipped)
        if self.plan.reads_gradients(step):
            self._gone += self._presence.look()
            self._read_missing(turn, step)
        reading = None
        if self.plan.due(self.plan.dense, step):
            self._measure().read_weights()
            reading = self._measure().standard()
        rows = self._other_rows(step, turn)
        if turn.read and reading is None:
            self._measure().forget_gradients()
        told, refused = None, None
        if batch is not None:
            try:
                told = self._batches.take(*batch)
            except Exception as error:  # a batch that does not fit costs nothing else
                refused = error
        self._send(sink, step, rows, scalars, reading, told)
        if refused is not None:
            raise refused
        if self._gone:
            gone, self._gone = ", ".join(map(repr, self._gone)), []
            raise InputError(
                f"step {step}: {gone} got weights of another shape, or another module took the place: missing from "
                "here on; make a new Recorder after such a change"
            )

    def _read_missing(self, turn: Turn, step: int) -> None:
        """Gradients that no hook read: of a step that was skipped, or one whose number came as a surprise."""
        layers, keep = self._layers(), self.plan.keeps_gradients(step)
        have = turn.gradients.keys() if keep else turn.read
        optimizers: list[torch.optim.Optimizer | None] = [*turn.optimizers] or [None]
        for optimizer in optimizers if len(have) < len(layers) else ():
            mine = range(len(layers)) if optimizer is None else self._optimizers.layers_of(optimizer, layers)
            if wanted := [layer for layer in mine if layer not in have]:
                # An optimizer that divides by a scale itself leaves gradients scaled only where it skips its step.
                scale = where_set(turn.skipped, turn.scales.get(id(optimizer)))
                self._read_gradients(turn, wanted, keep, scale)

    def _other_rows(self, step: int, turn: Turn) -> Rows:
        """Rows of the schedules that are rare."""
        rows: Rows = {}
        if self.plan.due(self.plan.full, step):
            rows["filters/full"], rows["layers/full"] = self._measure().full(turn.gradients)
        if self.plan.due(self.plan.raw, step):
            layers = self._layers()
            rows |= raw_rows(layers, self.plan.raw_of(layers), turn.gradients)
        if self._probe is not None and self.plan.due(self.plan.probe, step):
            self._layers()
            rows["filters/probe"], rows["layers/probe"] = self._probe.measure(self._description)
        return rows

    def _send(
        self, sink: Sink, step: int, rows: Rows, scalars: dict[str, Any], reading: Reading | None, batch: Batch | None
    ) -> None:
        steps = -1 if self._last_dense is None else step - self._last_dense
        whole = self.plan.budget is None or self.plan.budget.is_whole(self.records)
        if reading is not None:
            self._last_dense = step
            self.records += 1

        def ready() -> bool:
            return (reading is None or reading.ready()) and have_arrived(scalars) and (batch is None or batch.ready())

        def deliver(sink: Sink) -> None:
            numbers = arrived(scalars)
            numbers["step_skipped"] = int(numbers["step_skipped"] > 0)
            if reading is not None:
                filters, layers, numbers["grad_norm"] = reading.finish()
                for group, dense in (("filters/dense", filters), ("layers/dense", layers)):
                    row: dict[str, Any] = {**dense, "steps": steps}
                    rows[group] = row if whole or self.plan.budget is None else self.plan.budget.core(row)
            for group, values in rows.items():
                self._tables.open(sink, group)
                sink.append(group, step, values)
            self._tables.open(sink, "scalars", {"param_group": np.arange(len(numbers["learning_rate"]))})
            sink.append("scalars", step, numbers)
            if batch is not None:
                self._tables.open(sink, "batches", {"sample": np.arange(batch.size)})
                sink.append("batches", step, batch.row())

        self._outbox.add(Parcel(ready, deliver), sink)

    def _measure(self) -> Measurer:
        if self._measurer is None:
            self._layers()
            self._measurer = (Follower if self._follow else Measurer)(self._description, self._tables.initial())
        return self._measurer


__all__ = ["Snapshots"]
