"""Layers and stages of a net: where their filters lie, and what they are called in a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deeptracker.screen import table


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer lies: its name, stage, slice of the filter axis and position on the layer axis."""

    name: str
    stage: str
    filters: slice
    index: int = 0

    @property
    def count(self) -> int:
        return self.filters.stop - self.filters.start

    def along(self, axis: str) -> slice:
        """The layer's part of the axis ``filter`` or ``layer``."""
        return self.filters if axis == "filter" else slice(self.index, self.index + 1)


def layers_of(run: Any) -> list[Place]:
    """The layers with weights, in order of execution."""
    net = table(run, "architecture", ["stage", "first_filter", "filters"])
    names, stages = net["layer"].values, net["stage"].values
    first, count = net["first_filter"].values, net["filters"].values
    return [
        Place(str(name), str(stage), slice(int(a), int(a) + int(n)), index)
        for index, (name, stage, a, n) in enumerate(zip(names, stages, first, count, strict=True))
    ]


def stages_of(places: list[Place]) -> list[tuple[str, list[Place]]]:
    """Layers by stage; a stage of a single layer joins the one after it (the last: the one before)."""
    stages: list[tuple[str, list[Place]]] = []
    for place in places:
        if stages and stages[-1][0] == place.stage:
            stages[-1][1].append(place)
        else:
            stages.append((place.stage, [place]))
    joined: list[tuple[str, list[Place]]] = []
    for name, members in stages:
        if joined and (len(members) == 1 or len(joined[-1][1]) == 1):
            joined[-1] = (f"{joined[-1][0]} + {name}", joined[-1][1] + members)
        else:
            joined.append((name, members))
    return joined


def short(name: str, most: int = 22) -> str:
    """A layer's name, its middle left out where it is too long for the margin."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"
