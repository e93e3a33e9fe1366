"""One statistic of a layer against another, as a path through the training."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure

from deeptracker.screen import read, sizes, units, variables
from deeptracker.view import palettes, words
from deeptracker.view.places import Place, short
from deeptracker.view.scale import Scale
from deeptracker.view.timeline import FONT, SMALL, plain

GROUP = "layers/dense"
POINTS = 400
HEIGHT = 220
MOST = 4
TIME = Scale(
    "value", 0.0, 1.0, "time, from the beginning to the end of what is shown", ((0.0, "first"), (1.0, "last"))
)


def choices(run: Any) -> list[str]:
    """Statistics of layers that can be set against one another."""
    if not sizes(run, GROUP).get("iteration"):
        return []
    return [name for name, dims in variables(run, GROUP).items() if dims == ("iteration", "layer")]


def trajectory(
    run: Any, place: Place, across: str, up: str, start: float | None = None, stop: float | None = None
) -> Any:
    """A figure: records of a layer at (``across``, ``up``), from light to dark; axes are logarithmic for sizes."""
    select = {"layer": place.along("layer")}
    data = read(run, GROUP, [across, up], start, stop, POINTS // 4, select=select, reductions=["mean"])
    x, y = (np.asarray(data[name].values[0, :, 0], dtype=np.float64) for name in (across, up))
    at = np.asarray(data["iteration"].values)
    known = np.isfinite(x) & np.isfinite(y)
    kinds = []
    for values in (x, y):
        positive = bool(known.any()) and values[known].min() > 0
        kinds.append("log" if positive and values[known].max() > 20 * values[known].min() else "linear")
    x, y, at = x[known], y[known], at[known]
    plot = plain(
        figure(
            frame_height=HEIGHT, sizing_mode="stretch_width", tools="box_zoom,reset,pan", toolbar_location=None,
            x_axis_type=kinds[0], y_axis_type=kinds[1], title=short(place.name, 40), min_border_left=64,
            border_fill_color=palettes.PAPER, outline_line_color=palettes.FAINT, lod_timeout=60,
        )
    )  # fmt: skip
    colours = TIME.colours_of(0.15 + 0.85 * np.linspace(0, 1, len(at))) if len(at) else []
    source = ColumnDataSource({"x": x, "y": y, "at": at, "colour": colours})
    plot.line("x", "y", source=source, line_color=palettes.FAINT, line_width=1)
    dots = plot.scatter("x", "y", source=source, size=5, fill_color="colour", line_color=None)
    for axis, name in ((plot.xaxis, across), (plot.yaxis, up)):
        axis.axis_label = words.with_unit(name, units(run, GROUP, name))
        axis.axis_label_text_font, axis.major_label_text_font_size = FONT, SMALL
    tips = [("iteration", "@at{0,0}"), (across, "@x{0.0000a}"), (up, "@y{0.0000a}")]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    return plot


__all__ = ["MOST", "TIME", "choices", "trajectory"]
