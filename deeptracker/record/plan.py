"""What is recorded when: the schedules of a recorder, thinned out together where a limit on its cost says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deeptracker.errors import InputError
from deeptracker.record.budget import Budget, budget_of
from deeptracker.record.layers import Layer
from deeptracker.record.schedule import Overhead, Schedule


@dataclass(slots=True)
class Plan:
    """The schedules of one recorder.

    Parameters
    ----------
    dense, full, probe, raw : of the standard set, of the full set, of activations, of raw weights and gradients.
    raw_layers : regular expression on names of layers whose raw weights and gradients are kept; None = none.
    overhead : the limit on the cost; its stride applies to all schedules.
    budget : the limit on the disk, or None.
    """

    dense: Schedule
    full: Schedule
    probe: Schedule
    raw: Schedule
    raw_layers: str | None
    overhead: Overhead
    budget: Budget | None

    def __post_init__(self) -> None:
        if (self.raw_layers is None) != (self.raw.every is None):
            raise InputError("raw and raw_every belong together: give both or none")
        try:
            re.compile(self.raw_layers or "")
        except re.error as error:
            raise InputError(f"raw={self.raw_layers!r} is no regular expression ({error})") from None

    def due(self, schedule: Schedule, step: int) -> bool:
        """Whether a schedule asks for ``step``, as thinned out so far."""
        return schedule.due(step, self.overhead.stride)

    def reads_gradients(self, step: int) -> bool:
        """Whether gradients are wanted at ``step``."""
        return any(self.due(schedule, step) for schedule in (self.dense, self.full, self.raw))

    @property
    def keeps_any(self) -> bool:
        """Whether gradients are ever wanted whole."""
        return self.full.every is not None or self.raw.every is not None

    def keeps_gradients(self, step: int) -> bool:
        """Whether gradients are wanted whole at ``step``, after the optimizer may have dropped them."""
        return self.due(self.full, step) or self.due(self.raw, step)

    def raw_of(self, layers: Sequence[Layer]) -> list[int]:
        """Positions of the layers whose raw weights are kept.

        Raises
        ------
        InputError
            The expression matches none of them.
        """
        if self.raw_layers is None:
            return []
        chosen = [i for i, layer in enumerate(layers) if re.search(self.raw_layers, layer.name)]
        if not chosen:
            raise InputError(f"raw={self.raw_layers!r} matches no recorded layer")
        return chosen

    def attributes(self) -> dict[str, Any]:
        """JSON-able: the schedules and limits as given."""
        return {
            "schedules": {
                "dense": self.dense.every,
                "full": self.full.every,
                "probe": self.probe.every,
                "raw": self.raw.every,
            },
            "max_overhead": self.overhead.limit,
            "disk_budget": self.budget.attributes() if self.budget else None,
        }


def plan_of(
    *,
    every: int,
    start: int,
    stop: int | None,
    full_every: int | None,
    probe_every: int | None,
    raw: str | None,
    raw_every: int | None,
    max_overhead: float | None,
    disk_budget: int | str | None,
) -> Plan:
    """A plan from the arguments of a ``Recorder``."""
    return Plan(
        dense=Schedule(every, start, stop),
        full=Schedule(full_every, start, stop),
        probe=Schedule(probe_every, start, stop),
        raw=Schedule(raw_every, start, stop),
        raw_layers=raw,
        overhead=Overhead(max_overhead),
        budget=budget_of(disk_budget),
    )


__all__ = ["Plan", "plan_of"]
