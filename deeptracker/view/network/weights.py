"""The weights of one filter as a picture: a tile for each input channel, as they were recorded or began."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from deeptracker.screen import coordinate, sizes, table, variables
from deeptracker.view import palettes, words
from deeptracker.view.places import Place
from deeptracker.view.timeline import plain

MOST_TILES = 256
TILE = 9
"""Pixels of a weight at most."""
WIDE = 420
LEAST = 250
"""Pixels that a title needs."""


def moments(run: Any, place: Place, iteration: float | None = None) -> list[tuple[str, NDArray[np.float32]]]:
    """(title, weights (filter, weight)) of a layer: at the start, and at the record at or before ``iteration``.

    Parameters
    ----------
    iteration : default: the last record. Raw weights are there where the recorder was asked for them (``raw=``).
    """
    found = []
    initial, raw = f"initial/{place.index}", f"weights/{place.index}"
    if "weight" in variables(run, initial):
        found.append(("at the start", np.asarray(table(run, initial, ["weight"])["weight"].values)))
    if "weight" in variables(run, raw) and sizes(run, raw)["iteration"]:
        at = coordinate(run, raw, "iteration")
        row = len(at) - 1 if iteration is None else max(0, int(np.searchsorted(at, iteration, side="right")) - 1)
        for name, title in (("weight", "weights"), ("gradient", "gradients")):
            if name in variables(run, raw):
                values = table(run, raw, [name], select={"iteration": slice(row, row + 1)})[name].values[0]
                found.append((f"{title} at {int(at[row]):,}", np.asarray(values)))
    return found


def kernel_of(run: Any, place: Place) -> tuple[int, int]:
    """(height, width) of a layer's kernel; (1, 1) of a linear layer."""
    text = str(table(run, "architecture", ["kernel"])["kernel"].values[place.index])
    parts = [int(part) for part in text.split("×") if part.isdigit()]
    return (parts[-2], parts[-1]) if len(parts) >= 2 else (1, parts[-1] if parts else 1)


def tiles(weights: NDArray[np.float32], kernel: tuple[int, int]) -> NDArray[np.float32]:
    """Weights of one filter, flat, as one picture (y, x), rows from the top: a tile a channel, NaN between them."""
    high, wide = kernel
    if high * wide <= 1 or len(weights) % (high * wide):
        columns = int(np.ceil(np.sqrt(len(weights) * 2)))
        rows = -(-len(weights) // columns)
        flat = np.full(rows * columns, np.nan, np.float32)
        flat[: len(weights)] = weights
        return flat.reshape(rows, columns)
    channels = weights.reshape(-1, high, wide)[:MOST_TILES]
    columns = max(1, min(len(channels), int(np.ceil(np.sqrt(len(channels) * 2)))))
    rows = -(-len(channels) // columns)
    out = np.full((rows * (high + 1) - 1, columns * (wide + 1) - 1), np.nan, np.float32)
    for i, channel in enumerate(channels):
        y, x = divmod(i, columns)
        out[y * (high + 1) : y * (high + 1) + high, x * (wide + 1) : x * (wide + 1) + wide] = channel
    return out


def figures(run: Any, place: Place, channel: int, iteration: float | None = None) -> list[Any]:
    """A figure for each moment; red is positive, blue negative, each on its own scale."""
    kernel = kernel_of(run, place)
    out = []
    for moment, values in moments(run, place, iteration):
        if channel < len(values):
            title = f"{moment}: filter {channel} of {place.name}"
            out.append(_figure(tiles(values[channel], kernel), title, kernel, len(values[channel])))
    return out


def _figure(picture: NDArray[np.float32], title: str, kernel: tuple[int, int], count: int) -> Any:
    rows, columns = picture.shape
    pixel = max(2.0, min(TILE, WIDE / columns))
    edge = float(np.nanmax(np.abs(picture))) if np.isfinite(picture).any() else 0.0
    wide, high = round(columns * pixel), round(rows * pixel)
    plot = plain(
        figure(
            width=max(wide, LEAST) + 28, height=high + 52, sizing_mode="fixed", tools="", toolbar_location=None,
            x_range=Range1d(0, columns * max(1.0, LEAST / wide)), y_range=Range1d(0, rows), title=title,
            min_border=0, min_border_left=14, min_border_right=14, border_fill_color=palettes.PAPER,
            outline_line_color=None,
        )
    )  # fmt: skip
    plot.title.text_font_size = "11px"
    plot.axis.visible = False
    mapper = LinearColorMapper(
        low=-(edge or 1.0), high=edge or 1.0, palette=list(palettes.CHANGE), nan_color=palettes.PAPER
    )
    source = ColumnDataSource({"image": [np.ascontiguousarray(picture[::-1])]})
    glyph = plot.image("image", 0, 0, columns, rows, source=source, color_mapper=mapper)
    plot.add_tools(HoverTool(renderers=[glyph], tooltips=[("weight", "@image{0.0000a}")]))
    shape = f"{kernel[0]}×{kernel[1]}, " if kernel[0] * kernel[1] > 1 else ""
    plot.xaxis.axis_label = f"{shape}{words.count(count, 'weight')}, ±{words.number(edge)}"
    plot.xaxis.visible = True
    plot.xaxis.ticker = []
    plot.xaxis.axis_line_color = None
    return plot


__all__ = ["figures", "kernel_of", "moments", "tiles"]
