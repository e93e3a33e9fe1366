"""Layers, blocks and stages of a net: where their filters lie, and what they are called in a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deeptracker.errors import InputError
from deeptracker.screen import coordinate, table
from deeptracker.view.pattern import pattern as regular

LEVELS = ("layer", "block", "stage")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer lies: its name, stage, slice of the filter axis and position on the layer axis.

    A block or a stage (``level``) holds the filters of several layers; ``index`` is its position on its own axis.
    """

    name: str
    stage: str
    filters: slice
    index: int = 0
    block: str = ""
    level: str = "layer"

    @property
    def count(self) -> int:
        return self.filters.stop - self.filters.start

    def along(self, axis: str) -> slice:
        """The layer's part of the axis ``filter``, or its place on ``layer`` (a block's on ``block``, …)."""
        return self.filters if axis == "filter" else slice(self.index, self.index + 1)


def layers_of(run: Any) -> list[Place]:
    """The layers with weights, in order of execution."""
    net = table(run, "architecture", ["block", "stage", "first_filter", "filters"])
    names, stages, blocks = net["layer"].values, net["stage"].values, net["block"].values
    first, count = net["first_filter"].values, net["filters"].values
    return [
        Place(str(name), str(stage), slice(int(a), int(a) + int(n)), index, str(block))
        for index, (name, stage, block, a, n) in enumerate(zip(names, stages, blocks, first, count, strict=True))
    ]


def places_at(run: Any, level: str, opened: Sequence[str] = ()) -> list[Place]:
    """The net at one level: a place for each layer, block or stage, in order of execution.

    Parameters
    ----------
    level : ``layer``, ``block`` or ``stage``.
    opened : names of blocks and stages that are shown as what is in them: a stage as its blocks, a block as its
        layers.
    """
    if level not in LEVELS:
        raise InputError(f"level {level!r}: choose one of {', '.join(LEVELS)}")
    layers = layers_of(run)
    places: list[Place] = []
    start = 0
    while start < len(layers):
        kind = _kind_of(layers[start], level, opened)
        if kind == "layer":
            places.append(layers[start])
            start += 1
            continue
        name = getattr(layers[start], kind)
        stop = start
        while stop < len(layers) and getattr(layers[stop], kind) == name:
            stop += 1
        members = layers[start:stop]
        first, last = members[0].filters.start, members[-1].filters.stop
        index = list(map(str, coordinate(run, f"index/{kind}s", kind))).index(name)
        places.append(Place(name, members[0].stage, slice(first, last), index, members[0].block, kind))
        start = stop
    return places


def _kind_of(layer: Place, level: str, opened: Sequence[str]) -> str:
    """As what a layer appears: itself, its block or its stage."""
    if level == "stage" and layer.stage and layer.stage not in opened:
        return "stage"
    if level != "layer" and layer.block and layer.block not in opened:
        return "block"
    return "layer"


def levels_of(run: Any) -> list[str]:
    """The levels that a run can be shown at: blocks and stages come with the index."""
    return [level for level in LEVELS if level == "layer" or run.has(f"index/{level}s")]


def matching(places: list[Place], pattern: str) -> list[Place]:
    """Places whose name a regular expression is found in; an empty one finds all.

    Raises
    ------
    InputError : it is no regular expression, or found nowhere.
    """
    found = regular(pattern)
    kept = [place for place in places if found(place.name)]
    if not kept:
        raise InputError(f"no layer has {pattern!r} in its name; there are {places[0].name}, … {places[-1].name}")
    return kept


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
