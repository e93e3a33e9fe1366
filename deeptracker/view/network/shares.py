"""Which layers a quantity of the whole net lies in, over time: shares of its layers, stacked."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, LinearColorMapper, Range1d
from numpy.typing import NDArray

from deeptracker.screen import read, sizes, variables
from deeptracker.view import palettes
from deeptracker.view.columns import columns
from deeptracker.view.places import layers_of, stages_of
from deeptracker.view.timeline import Timeline

GROUP = "layers/dense"
ADDITIVE = {
    "update_norm2": "update: share of its squared length",
    "g_norm2": "gradient: share of its squared length",
    "w_norm2": "weights: share of their squared length",
}
PIXELS = 600
ROWS = 150
TINTS = ("#2b5c8a", "#8a6d00", "#1f7a5c", "#7b3f8c", "#b2451a", "#4b5a6b")
"""Stages take turns; all of about the same lightness, layers of a stage get lighter in turn."""


def choices(run: Any) -> list[str]:
    """The quantities of which a run knows the layers' parts."""
    there = variables(run, GROUP) if sizes(run, GROUP).get("iteration") else {}
    return [name for name in ADDITIVE if name in there]


def parts(run: Any, variable: str, pixels: int = PIXELS) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(iterations, share of each layer (record, layer)): squared norms add up over layers; rows of NaN stay NaN."""
    data = read(run, GROUP, [variable], pixels=pixels, reductions=["mean"])
    squared = np.asarray(data[variable].values[0], dtype=np.float64) ** 2
    total = np.nansum(squared, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, np.nan_to_num(squared) / total, np.nan)
    return np.asarray(data["iteration"].values), share


def stacked(share: NDArray[np.float64], rows: int = ROWS) -> NDArray[np.uint8]:
    """Shares (column, layer) as an image (rows, column) of layer numbers from 1, the first layer on top; 0 = none."""
    edges = np.cumsum(np.nan_to_num(share), axis=1)
    height = (np.arange(rows) + 0.5) / rows
    seat = np.stack([np.searchsorted(one, height) for one in edges], axis=1) if len(edges) else np.zeros((rows, 0))
    cells = np.minimum(seat + 1, share.shape[1])
    missing = np.asarray(np.isnan(share).any(axis=1))
    cells = np.where(missing[None, :], 0, cells)
    return np.ascontiguousarray(cells[::-1].astype(np.uint8))


def colours(run: Any) -> list[str]:
    """A colour for each layer: one tint a stage, lighter from layer to layer."""
    out: list[str] = []
    for number, (_, members) in enumerate(stages_of(layers_of(run))):
        base = np.array([int(TINTS[number % len(TINTS)][i : i + 2], 16) for i in (1, 3, 5)], dtype=float)
        for i in range(len(members)):
            light = 0.65 * i / max(len(members) - 1, 1)
            out.append("#" + "".join(f"{round(c + (255 - c) * light):02x}" for c in base))
    return out


def shares(run: Any, timeline: Timeline, variable: str) -> Any:
    """A figure on the shared axis; hover names the layer and its share."""
    at, share = parts(run, variable)
    grid = columns(at, *timeline.full, PIXELS)
    seen = grid.reduce(share, "mean").astype(np.float64)
    names = [place.name for place in layers_of(run)]
    plot = timeline.figure(ROWS, axis=True, y_range=Range1d(0, 100), title=ADDITIVE[variable])
    plot.title.text_font_size = "11px"
    plot.yaxis.axis_label = "share, %"
    count = min(len(names), 255)
    mapper = LinearColorMapper(low=0.5, high=count + 0.5, low_color=palettes.MISSING, palette=colours(run)[:count])
    source = ColumnDataSource(
        {"image": [stacked(seen[:, :count])], "x": [grid.left], "dw": [max(grid.width * grid.count, 1e-9)]}
    )
    glyph = plot.image("image", "x", 0, "dw", 100, source=source, color_mapper=mapper, level="image")
    table = ColumnDataSource({"share": [seen[:, i].astype(np.float32) for i in range(count)]})
    told = CustomJSHover(args={"names": names, "table": table, "source": source}, code=_TOLD)
    plot.add_tools(
        HoverTool(
            renderers=[glyph],
            tooltips=[("layer", "@image{custom}"), ("iteration", "$x{0,0}")],
            formatters={"@image": told},
        )
    )
    return plot


_TOLD = """
if (value == 0) return 'none'
const series = table.data.share[value - 1]
const x = (special_vars.x - source.data.x[0]) / source.data.dw[0]
const column = Math.min(series.length - 1, Math.max(0, Math.floor(x * series.length)))
return `${names[value - 1]}: ${(100 * series[column]).toPrecision(3)}%`
"""

__all__ = ["ADDITIVE", "choices", "parts", "shares", "stacked"]
