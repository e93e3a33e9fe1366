"""How a training went around an event: loss, gradient norm and learning rate, before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import HoverTool

from deeptracker.screen import read, sizes, variables
from deeptracker.view import palettes
from deeptracker.view.columns import curve
from deeptracker.view.event.events import Event, around
from deeptracker.view.event.exhibits import HEIGHT, PIXELS, fit, usual_band, visible
from deeptracker.view.timeline import Timeline, number_ticks

SHOWN = (
    ("loss", "training loss", palettes.LOSS),
    ("grad_norm", "norm of the gradient", palettes.VALIDATION_ERROR),
    ("learning_rate", "learning rate", palettes.INK),
)


def figures(run: Any, event: Event, timeline: Timeline) -> list[Any]:
    """One small figure for each of the three that was recorded, on the shared time axis."""
    there = variables(run, "scalars")
    groups = sizes(run, "scalars").get("param_group", 0) if there else 0
    drawn = (
        _figure(run, event, timeline, name, title, colour)
        for name, title, colour in SHOWN
        if name in there and (name != "learning_rate" or groups)
    )
    return [plot for plot in drawn if plot is not None]


def _figure(run: Any, event: Event, timeline: Timeline, name: str, title: str, colour: str) -> Any:
    first, last = around(run, event)
    select = {"param_group": slice(0, 1)} if name == "learning_rate" else None
    data = read(
        run, "scalars", [name], first - 3 * (last - first), last + (last - first), PIXELS, select=select,
        reductions=["min", "max"],
    )[name]  # fmt: skip
    data = data.isel(param_group=0) if "param_group" in data.dims else data
    at, values = curve(data, PIXELS)
    if not len(values):
        return None
    plot = timeline.figure(HEIGHT, axis=True, label=False, min_border_left=58, min_border_right=10, title=title)
    plot.title.text_font_size = "11px"
    plot.yaxis.formatter = number_ticks()
    plot.yaxis.ticker.desired_num_ticks = 4
    low, high = usual_band(values[:, None], at.astype(np.int64), int(event["iteration"]))
    if name != "learning_rate" and np.isfinite(low):
        plot.quad(
            left=timeline.full[0], right=timeline.full[1], bottom=low, top=high,
            fill_color=palettes.LABEL, fill_alpha=0.18, line_color=None, level="underlay",
        )  # fmt: skip
    # A rate holds until the next one; a straight line would draw a slope that never was.
    line = (plot.step if name == "learning_rate" else plot.line)(
        at, values, line_color=colour, line_width=1.2, **({"mode": "after"} if name == "learning_rate" else {})
    )
    plot.add_tools(
        HoverTool(renderers=[line], mode="vline", tooltips=[("iteration", "@x{0,0}"), (title, "@y{0.0000a}")])
    )
    fit(plot, values[visible(run, event, at)])
    return plot


__all__ = ["figures"]
