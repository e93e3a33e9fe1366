"""The numbers behind an event: each guilty layer or filter over time, against what was usual for it before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from numpy.typing import NDArray

from deeptracker.screen import read, units, variables
from deeptracker.view import palettes, words
from deeptracker.view.event.events import Event
from deeptracker.view.event.panels import PIXELS, Panel, reading, usual_band, visible
from deeptracker.view.places import layers_of, short
from deeptracker.view.timeline import Timeline

MOST = 3
MOST_LINES = 8
"""Filters of an event that are drawn as lines."""

_SHOWS = re.compile(r"""^run\.(filters|layers)\.(\w+)\.sel\((?:layer='((?:[^'\\]|\\.)*)', )?iteration=""")
_GROUPS = {
    "filters": ("filters/dense", "filters/full", "filters/probe"),
    "layers": ("layers/dense", "layers/full", "layers/probe"),
}


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One series that an event rests on: a statistic of a layer as a whole, or of its filters, ``channels`` named."""

    group: str
    variable: str
    layer: str
    channels: tuple[int, ...]
    text: str
    expression: str


def exhibits(run: Any, event: Event, most: int = MOST) -> list[Exhibit]:
    """The series that the evidence of an event names, strongest first, each once."""
    found: dict[tuple[str, str, str], Exhibit] = {}
    known = {place.name for place in layers_of(run)} if run.has("architecture") else set()
    for line in event.get("evidence") or ():
        named = _SHOWS.match(str(line.get("expression") or ""))
        if named is None:
            continue
        axis, variable, layer = named.group(1), named.group(2), named.group(3) or _first_layer(event)
        group = next((g for g in _GROUPS[axis] if variable in variables(run, g)), None)
        if group is None or layer not in known or (axis, variable, layer) in found:
            continue
        channels = tuple(int(f["channel"]) for f in event.get("filters") or () if str(f["layer"]) == layer)
        found[axis, variable, layer] = Exhibit(
            group, variable, layer, channels if axis == "filters" else (), str(line["text"]), str(line["expression"])
        )
    return list(found.values())[:most]


def _first_layer(event: Event) -> str:
    return str(event["layers"][0]) if event.get("layers") else ""


class Exhibits:
    """Figures for as many exhibits as an event may have, on the shared time axis; ``show`` puts one into them."""

    def __init__(self, run: Any, timeline: Timeline, most: int = MOST) -> None:
        self.run = run
        self.parts = [_Part(timeline) for _ in range(most)]
        self.plots = [part.plot for part in self.parts]

    def show(self, event: Event) -> list[Exhibit]:
        """Draw the exhibits of an event, and return them; figures that it does not need are not visible."""
        found = exhibits(self.run, event, len(self.parts))
        for part, exhibit in zip(self.parts, found, strict=False):
            part.show(self.run, event, exhibit)
        for i, part in enumerate(self.parts):
            part.plot.visible = i < len(found)
        return found


class _Part(Panel):
    """One exhibit: the series, and as a band what was usual: 98% of the numbers of the records before the event."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__(timeline)
        self.rest = ColumnDataSource({"x": [], "y": []})
        self.lines = ColumnDataSource({"x": [], "y": [], "name": []})
        self.plot.line("x", "y", source=self.rest, line_color=palettes.LABEL, line_width=1, line_dash=[4, 3])
        drawn = self.plot.multi_line(
            "x", "y", source=self.lines, line_color=palettes.SELECTED, line_width=1.2, line_alpha=0.85
        )
        self.hover = HoverTool(renderers=[drawn], line_policy="nearest")
        self.plot.add_tools(self.hover)

    def show(self, run: Any, event: Event, exhibit: Exhibit) -> None:
        at, values = _values(run, event, exhibit)
        lines, rest = _lines(exhibit, values)
        low, high = usual_band(lines if exhibit.channels else values, at, int(event["iteration"]))
        self.plot.title.text = _title(exhibit)
        self.plot.yaxis.axis_label = words.with_unit(exhibit.variable, units(run, exhibit.group, exhibit.variable))
        self.usual(low, high)
        self.rest.data = {"x": at, "y": rest} if rest is not None else {"x": [], "y": []}
        names = [f"filter {c}" for c in exhibit.channels[:MOST_LINES]] or [exhibit.layer]
        count = lines.shape[1]
        self.lines.data = {"x": [at] * count, "y": [lines[:, i] for i in range(count)], "name": names[:count]}
        self.hover.tooltips = [
            ("", "@name"), ("iteration", "$data_x{0,0}"), (exhibit.variable, "$data_y{0.0000a}")
        ]  # fmt: skip
        self.fit(lines[visible(run, event, at)], low, high)


def _title(exhibit: Exhibit) -> str:
    what = words.statistic(exhibit.variable)
    count = len(exhibit.channels)
    whom = f"{words.count(count, 'filter')} of {short(exhibit.layer)}" if count else short(exhibit.layer)
    return f"{whom}: {what}"


def _values(run: Any, event: Event, exhibit: Exhibit) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(iterations, values (record, filter)) around an event, from well before it."""
    place = next(p for p in layers_of(run) if p.name == exhibit.layer)
    axis = "filter" if exhibit.group.startswith("filters") else "layer"
    data = read(
        run, exhibit.group, [exhibit.variable], *reading(run, event), PIXELS,
        select={axis: place.along(axis)}, reductions=["mean"],
    )  # fmt: skip
    return np.asarray(data["iteration"].values), np.asarray(data[exhibit.variable].values[0], dtype=np.float64)


def _lines(exhibit: Exhibit, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """The named filters' series, and the median of the layer's other filters (None where none is named)."""
    if not exhibit.channels:
        return (values if values.shape[1] == 1 else _median(values)[:, None]), None
    chosen = [c for c in exhibit.channels[:MOST_LINES] if c < values.shape[1]]
    others = [c for c in range(values.shape[1]) if c not in exhibit.channels]
    return values[:, chosen], _median(values[:, others]) if others else None


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over filters, NaN where there is none."""
    ordered = np.sort(values, axis=1)
    count = np.maximum((~np.isnan(values)).sum(axis=1) - 1, 0)
    return np.asarray(ordered[np.arange(len(ordered)), count // 2])


__all__ = ["Exhibit", "Exhibits", "exhibits"]
