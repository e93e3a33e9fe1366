"""The numbers behind an event: each guilty layer or filter over time, against what was usual for it before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Range1d
from numpy.typing import NDArray

from deeptracker.screen import read, units, variables
from deeptracker.view import palettes, words
from deeptracker.view.event.events import Event, around
from deeptracker.view.places import layers_of, short
from deeptracker.view.timeline import Timeline, number_ticks

MOST = 3
PIXELS = 600
PAST = 200
"""Records before the event that say what was usual."""
HEIGHT = 104
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


def figures(run: Any, event: Event, timeline: Timeline, most: int = MOST) -> list[Any]:
    """A figure for each exhibit, on the shared time axis."""
    return [figure(run, event, exhibit, timeline) for exhibit in exhibits(run, event, most)]


def figure(run: Any, event: Event, exhibit: Exhibit, timeline: Timeline) -> Any:
    """One exhibit: the series, and as a band what was usual: 98% of the numbers of the records before the event."""
    at, values = _values(run, event, exhibit)
    onset = int(event["iteration"])
    lines, rest = _lines(exhibit, values)
    low, high = usual_band(lines if exhibit.channels else values, at, onset)
    unit = words.with_unit(exhibit.variable, units(run, exhibit.group, exhibit.variable))
    plot = timeline.figure(
        HEIGHT, axis=True, label=False, min_border_left=58, min_border_right=10, title=_title(exhibit)
    )
    plot.title.text_font_size = "11px"
    plot.yaxis.axis_label = unit
    plot.yaxis.formatter = number_ticks()
    plot.yaxis.ticker.desired_num_ticks = 4
    if np.isfinite(low) and np.isfinite(high):
        plot.quad(
            left=timeline.full[0], right=timeline.full[1], bottom=low, top=high,
            fill_color=palettes.LABEL, fill_alpha=0.18, line_color=None, level="underlay",
        )  # fmt: skip
    if rest is not None:
        plot.line(at, rest, line_color=palettes.LABEL, line_width=1, line_dash=[4, 3])
    names = [f"filter {c}" for c in exhibit.channels[:MOST_LINES]] or [exhibit.layer]
    source = ColumnDataSource(
        {"x": [at] * lines.shape[1], "y": [lines[:, i] for i in range(lines.shape[1])], "name": names}
    )
    drawn = plot.multi_line("x", "y", source=source, line_color=palettes.SELECTED, line_width=1.2, line_alpha=0.85)
    plot.add_tools(
        HoverTool(
            renderers=[drawn],
            line_policy="nearest",
            tooltips=[("", "@name"), ("iteration", "$data_x{0,0}"), (exhibit.variable, "$data_y{0.0000a}")],
        )
    )
    fit(plot, lines[visible(run, event, at)], low, high)
    return plot


def visible(run: Any, event: Event, at: NDArray[Any]) -> NDArray[np.bool_]:
    """Which records lie in the range that the event opens."""
    first, last = around(run, event)
    return np.asarray((at >= first) & (at <= last))


def fit(plot: Any, *values: Any) -> None:
    """Let the vertical axis end a little beyond these numbers; those that are not finite do not count."""
    flat = np.concatenate([np.ravel(np.asarray(one, dtype=np.float64)) for one in values])
    flat = flat[np.isfinite(flat)]
    if flat.size:
        room = 0.06 * float(np.ptp(flat)) or abs(float(flat[0])) * 0.1 or 1.0
        plot.y_range = Range1d(float(flat.min()) - room, float(flat.max()) + room)


def _title(exhibit: Exhibit) -> str:
    what = words.statistic(exhibit.variable)
    count = len(exhibit.channels)
    whom = f"{words.count(count, 'filter')} of {short(exhibit.layer)}" if count else short(exhibit.layer)
    return f"{whom}: {what}"


def _values(run: Any, event: Event, exhibit: Exhibit) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(iterations, values (record, filter)) around an event, from well before it."""
    place = next(p for p in layers_of(run) if p.name == exhibit.layer)
    first, last = around(run, event)
    axis = "filter" if exhibit.group.startswith("filters") else "layer"
    data = read(
        run, exhibit.group, [exhibit.variable], first - 3 * (last - first), last + (last - first), PIXELS,
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


def usual_band(values: NDArray[np.float64], at: NDArray[np.int64], onset: int) -> tuple[float, float]:
    """1% and 99% points of all numbers of the ``PAST`` records before the onset; NaN under ten of them."""
    past = values[at < onset][-PAST:]
    past = past[np.isfinite(past)]
    if len(past) < 10:
        return float("nan"), float("nan")
    low, high = np.quantile(past, (0.01, 0.99))
    return float(low), float(high)


__all__ = ["Exhibit", "exhibits", "figure", "figures", "fit", "usual_band", "visible"]
