"""Runs as small multiples: one layer of every run, a row each; and two runs' layers against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, LinearColorMapper, Range1d
from numpy.typing import NDArray

from deeptracker.errors import InputError
from deeptracker.screen import read, sizes, units, variables
from deeptracker.view import palettes, words
from deeptracker.view.compare.aligned import COLUMNS, Axis
from deeptracker.view.compare.curves import empty
from deeptracker.view.places import layers_of, short
from deeptracker.view.scale import Scale, change_scale, value_scale
from deeptracker.view.timeline import named_rows

GROUP = "layers/dense"
ROW = (9, 22)
MOST = 420
"""Pixels of all rows together."""
OCTAVES = 2.0


def common_layers(runs: Sequence[Any]) -> list[str]:
    """Layers that every run has, in the order of the first."""
    each = [[place.name for place in layers_of(run)] if run.has("architecture") else [] for run in runs]
    return [name for name in each[0] if all(name in names for names in each[1:])] if each else []


def common_statistics(runs: Sequence[Any]) -> list[str]:
    """Statistics of layers that every run has."""
    each = [
        [n for n, dims in variables(run, GROUP).items() if dims == ("iteration", "layer")]
        if sizes(run, GROUP).get("iteration")
        else []
        for run in runs
    ]
    return [name for name in each[0] if all(name in names for names in each[1:])] if each else []


def series(run: Any, number: int, axis: Axis, variable: str, layers: Sequence[str]) -> NDArray[np.float32]:
    """A statistic of some layers of one run on the columns of the axis: (column, layer)."""
    names = [place.name for place in layers_of(run)]
    data = read(run, GROUP, [variable], pixels=COLUMNS, reductions=["mean"])
    chosen = [names.index(name) for name in layers]
    values = np.asarray(data[variable].values[0], dtype=np.float32)[:, chosen]
    return axis.spread(number, data["iteration"].values, values)


def same_layer(
    runs: Sequence[Any], names: Sequence[str], axis: Axis, x_range: Range1d, layer: str, variable: str
) -> tuple[Any, Scale]:
    """A figure with a row a run: the statistic of one layer, all on one scale."""
    rows = np.stack([series(run, i, axis, variable, [layer])[:, 0] for i, run in enumerate(runs)])
    scale = value_scale(rows, words.with_unit(variable, units(runs[0], GROUP, variable)))
    read_out = f"value == 0 ? 'none' : {scale.javascript()}.toPrecision(3)"
    return _rows(rows, list(names), scale, axis, x_range, f"{layer} in every run", read_out), scale


def difference(
    run: Any, number: int, other: Any, other_number: int, axis: Axis, x_range: Range1d, variable: str, title: str
) -> tuple[Any, Scale]:
    """A figure with a row a layer: log₂ of the statistic of ``run`` over that of ``other`` where both recorded.

    Raises
    ------
    InputError : no layer in common.
    """
    layers = common_layers([run, other])
    if not layers:
        raise InputError(f"{run.path.name} and {other.path.name} have no layer in common")
    mine = series(run, number, axis, variable, layers)
    theirs = series(other, other_number, axis, variable, layers)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((mine > 0) & (theirs > 0), np.log2(mine / theirs), np.nan).T
    scale = change_scale(f"{variable}: ratio of the two runs", OCTAVES)
    read_out = f"value == 0 ? 'not in both' : (2**{scale.javascript()}).toPrecision(3) + '×'"
    return _rows(ratio, layers, scale, axis, x_range, title, read_out), scale


def _rows(
    rows: NDArray[np.float32], names: list[str], scale: Scale, axis: Axis, x_range: Range1d, title: str, read_out: str
) -> Any:
    """(row, column) as strips, the first on top."""
    count = len(names)
    high = int(np.clip(MOST // max(count, 1), *ROW))
    plot = empty(axis, x_range, high * count, label=True, y_range=Range1d(0, count), title=title)
    plot.title.text_font_size = "11px"
    mapper = LinearColorMapper(low=1, high=255, low_color=palettes.MISSING, palette=list(scale.colours))
    source = ColumnDataSource({"image": [np.ascontiguousarray(scale.encode(rows)[::-1])]})
    glyph = plot.image(
        "image", axis.start, 0, axis.width * COLUMNS, count, source=source, color_mapper=mapper, level="image"
    )
    inner = list(range(1, count))
    plot.segment(axis.start, inner, axis.stop, inner, line_color=palettes.PAPER, line_width=1)
    step = max(1, -(-13 // high))
    places = list(range(0, count, step))
    named_rows(plot.yaxis, [count - i - 0.5 for i in places], [short(names[i], 26) for i in places])
    name = CustomJSHover(args={"names": names}, code="return names[names.length - 1 - Math.floor(special_vars.y)]")
    plot.add_tools(
        HoverTool(
            renderers=[glyph],
            tooltips=[("", "$y{custom}"), ("at", "$x{0,0.[00]}"), ("", "@image{custom}")],
            formatters={"$y": name, "@image": CustomJSHover(code=f"return {read_out}")},
        )
    )
    return plot


__all__ = ["common_layers", "common_statistics", "difference", "same_layer", "series"]
