"""The net itself: a row for each stage, block and layer, and the graph of its layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from deeptracker.screen import table
from deeptracker.view import palettes, words
from deeptracker.view.places import layers_of, short, stages_of
from deeptracker.view.timeline import FONT, plain

LANE = 26
MOST_LABELS = 80


def rows(run: Any) -> list[dict[str, Any]]:
    """Stages, blocks and layers from top to bottom: ``level`` 0, 1, 2, ``name``, and what is known of it in words."""
    net = table(run, "architecture")
    out: list[dict[str, Any]] = []
    stage = block = None
    for place in layers_of(run):
        if place.stage != stage:
            stage, block = place.stage, None
            members = [p for p in layers_of(run) if p.stage == stage]
            out.append(_group(0, place.stage, members, net))
        if place.block != block:
            block = place.block
            members = [p for p in layers_of(run) if p.block == block and p.stage == stage]
            if len(members) > 1:
                out.append(_group(1, place.block, members, net))
        out.append({"level": 2, "name": place.name, "text": _layer(net, place.index)})
    return out


def _group(level: int, name: str, members: list[Any], net: Any) -> dict[str, Any]:
    parameters = sum(int(net["parameters"].values[p.index]) for p in members)
    filters = sum(p.count for p in members)
    text = f"{words.count(len(members), 'layer')}, {words.count(filters, 'filter')}, {parameters:,} weights"
    return {"level": level, "name": name, "text": text}


def _layer(net: Any, index: int) -> str:
    """Type, kernel, size and what follows a layer, in words."""

    def of(name: str) -> str:
        return str(net[name].values[index]) if name in net else ""

    kernel = f" {of('kernel')}" if of("kernel") else ""
    stride = f" / {of('stride')}" if of("stride") not in ("", "1", "1×1") else ""
    after = [part for part in (of("normalisation") and "normalisation", of("activation")) if part]
    follows = f" → {' → '.join(after)}" if after else ""
    filters, parameters = int(net["filters"].values[index]), int(net["parameters"].values[index])
    return f"{of('type')}{kernel}{stride}, {words.count(filters, 'filter')}, {parameters:,} weights{follows}"


def depths(count: int, edges: NDArray[np.intp]) -> NDArray[np.intp]:
    """Longest path to each layer along ``edges`` (edge, 2); layers come in order of execution, so one pass does."""
    depth = np.zeros(count, np.intp)
    for source, target in sorted(map(tuple, edges.tolist()), key=lambda e: e[1]):
        if 0 <= source < target < count:
            depth[target] = max(depth[target], depth[source] + 1)
    return depth


def graph(run: Any) -> Any:
    """The layers as boxes from left to right, as deep as the longest path to them, and what feeds what."""
    net = table(run, "architecture")
    places = layers_of(run)
    edges = np.asarray(net["edges"].values).reshape(-1, 2) if "edges" in net else np.zeros((0, 2), np.intp)
    if not len(edges):  # not known: one after the other
        edges = np.stack([np.arange(len(places) - 1), np.arange(1, len(places))], axis=1)
    depth = depths(len(places), edges)
    lane = np.zeros(len(places))
    for one in np.unique(depth):
        mine = np.flatnonzero(depth == one)
        lane[mine] = np.arange(len(mine))
    lanes = int(lane.max(initial=0)) + 1
    wide = int(depth.max(initial=0)) + 1
    plot = plain(
        figure(
            frame_height=LANE * lanes + 14, sizing_mode="stretch_width", tools="", toolbar_location=None,
            x_range=Range1d(-0.6, wide - 0.4), y_range=Range1d(-lanes + 0.3, 0.7), min_border_left=12,
            min_border_bottom=80 if wide > 14 else 12, border_fill_color=palettes.PAPER, outline_line_color=None,
        )
    )  # fmt: skip
    plot.axis.visible = False
    ends = [(int(a), int(b)) for a, b in edges if 0 <= a < len(places) and 0 <= b < len(places)]
    at = [(float(d), -float(lane_)) for d, lane_ in zip(depth, lane, strict=True)]
    level = [(at[a], at[b]) for a, b in ends if lane[a] == lane[b] and depth[b] - depth[a] <= 1]
    around = [(at[a], at[b]) for a, b in ends if not (lane[a] == lane[b] and depth[b] - depth[a] <= 1)]
    style = {"line_color": palettes.LABEL, "line_width": 1}
    plot.segment(
        [p[0] for p, _ in level],
        [p[1] for p, _ in level],
        [q[0] for _, q in level],
        [q[1] for _, q in level],
        **style,
    )
    plot.bezier(
        x0=[p[0] for p, _ in around], y0=[p[1] for p, _ in around],
        x1=[q[0] for _, q in around], y1=[q[1] for _, q in around],
        cx0=[p[0] + 0.4 for p, _ in around], cy0=[p[1] + 0.55 for p, _ in around],
        cx1=[q[0] - 0.4 for _, q in around], cy1=[q[1] + 0.55 for _, q in around], **style,
    )  # fmt: skip
    tints = {place.name: number for number, (_, members) in enumerate(stages_of(places)) for place in members}
    source = ColumnDataSource(
        {
            "x": depth,
            "y": -lane,
            "name": [place.name for place in places],
            "short": [short(place.name, 18) for place in places],
            "text": [_layer(net, place.index) for place in places],
            "fill": [palettes.MISSING if tints[place.name] % 2 else palettes.FAINT for place in places],
        },
        name="graph",
    )
    boxes = plot.rect("x", "y", 0.62, 0.56, source=source, fill_color="fill", line_color=palettes.MUTED)
    if wide <= MOST_LABELS:
        turned = wide > 14
        plot.text(
            "x", "y", text="short", source=source, text_font={"value": FONT}, text_color=palettes.INK,
            text_font_size="9px" if turned else "11px", text_align="right" if turned else "center",
            text_baseline="middle", angle=0.9 if turned else 0.0, y_offset=14 if turned else 0,
        )  # fmt: skip
    plot.add_tools(HoverTool(renderers=[boxes], tooltips=[("", "@name"), ("", "@text")]))
    return plot


def layer_at(plot: Any, x: float, y: float) -> str | None:
    """Name of the layer whose box lies there."""
    source = plot.select_one({"name": "graph"}).data if plot.select_one({"name": "graph"}) else {}
    for name, a, b in zip(source.get("name", ()), source.get("x", ()), source.get("y", ()), strict=True):
        if abs(a - x) <= 0.4 and abs(b - y) <= 0.4:
            return str(name)
    return None


__all__ = ["depths", "graph", "layer_at", "rows"]
