"""Loss and error of every run, one line each on a shared axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from deeptracker.screen import read, variables
from deeptracker.screen.answers import error_over_time
from deeptracker.view import palettes
from deeptracker.view.columns import curve, thinned
from deeptracker.view.compare.aligned import KINDS, Axis
from deeptracker.view.timeline import number_ticks, plain

PIXELS = 500
HEIGHT = 170
LEFT, RIGHT = 170, 20
FEW = 8
"""Runs that have a colour each; of more, all are grey but the ones that are pointed at."""
COLOURS = ("#2b5c8a", "#b2451a", "#1f7a5c", "#7b3f8c", "#8a6d00", "#b5137d", "#4b5a6b", "#0e7c86")


def colours(count: int) -> list[str]:
    """A colour for each run; grey for many."""
    return [COLOURS[i] if count <= FEW else palettes.LABEL for i in range(count)]


def empty(axis: Axis, x_range: Range1d, height: int, *, label: bool, **options: Any) -> Any:
    """A figure on the axis of all runs."""
    plot = plain(
        figure(
            frame_height=height, sizing_mode="stretch_width", toolbar_location=None, tools="xbox_zoom,reset,xpan",
            x_range=x_range, min_border_left=LEFT, min_border_right=RIGHT, min_border_top=0, lod_timeout=60,
            outline_line_color=palettes.FAINT, border_fill_color=palettes.PAPER, **options,
        )
    )  # fmt: skip
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    if label:
        plot.xaxis.axis_label = KINDS[axis.kind]
    else:
        plot.xaxis.visible = False
    return plot


def figures(runs: Sequence[Any], names: Sequence[str], axis: Axis, x_range: Range1d) -> list[Any]:
    """Training loss and validation error, where any run has them."""
    losses = [_loss(run) for run in runs]
    errors = [_error(run) for run in runs]
    out = []
    if any(len(x) for x, _ in losses):
        known = np.concatenate([y for _, y in losses])
        known = known[np.isfinite(known)]
        kind = "log" if len(known) and known.min() > 0 and known.max() > 5 * known.min() else "linear"
        out.append(_figure(losses, names, axis, x_range, "training loss", kind, last=False))
    if any(len(x) for x, _ in errors):
        out.append(_figure(errors, names, axis, x_range, "validation error, %", "linear", last=True))
    elif out:
        out[-1].xaxis.visible = True
    return out


def _loss(run: Any) -> tuple[Any, Any]:
    if "loss" not in variables(run, "scalars"):
        return np.zeros(0), np.zeros(0)
    return curve(read(run, "scalars", ["loss"], pixels=PIXELS)["loss"], PIXELS)


def _error(run: Any) -> tuple[Any, Any]:
    found = error_over_time(run)
    return thinned(found[0], found[1] * 100, PIXELS) if found is not None else (np.zeros(0), np.zeros(0))


def _figure(
    series: list[tuple[Any, Any]], names: Sequence[str], axis: Axis, x_range: Range1d, title: str, kind: str,
    *, last: bool,
) -> Any:  # fmt: skip
    plot = empty(axis, x_range, HEIGHT, label=last, y_axis_type=kind)
    plot.yaxis.axis_label = title
    plot.yaxis.formatter = number_ticks()
    source = ColumnDataSource(
        {
            "xs": [axis.place(i, x) for i, (x, _) in enumerate(series)],
            "ys": [y for _, y in series],
            "name": list(names),
            "colour": colours(len(names)),
        }
    )
    lines = plot.multi_line(
        "xs", "ys", source=source, line_color="colour", line_width=1.4, line_alpha=0.9 if len(names) <= FEW else 0.45,
        hover_line_color=palettes.SELECTED, hover_line_alpha=1.0,
    )  # fmt: skip
    plot.add_tools(
        HoverTool(
            renderers=[lines], line_policy="nearest",
            tooltips=[("run", "@name"), (KINDS[axis.kind], "$data_x{0,0.[00]}"), (title, "$data_y{0.000a}")],
        )
    )  # fmt: skip
    return plot


__all__ = ["FEW", "colours", "empty", "figures"]
