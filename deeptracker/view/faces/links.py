"""The right face of the cube: how often filters of a layer go with a class; what may be chance is shown on demand."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import CheckboxGroup, CustomJS
from numpy.typing import NDArray

from deeptracker.schema.derived import PROVEN
from deeptracker.screen.cube import Faces
from deeptracker.view.columns import Columns
from deeptracker.view.faces.raster import Cells, Raster, gaps
from deeptracker.view.scale import RATIO

FINE = 760
"""Columns of the face, two a pixel."""
TOOLTIPS = [
    ("layer", "@cell{layer}"),
    ("class", "@cell{class}"),
    ("filters seen together", "@cell{union}"),
    ("expected", "@cell{expected:1}"),
    ("p of the link", "@cell{p:4}"),
]


def draw_links(
    plot: Any, faces: Faces, layers: list[str], classes: list[str], edges: NDArray[np.float64]
) -> tuple[Any, dict[str, Raster]]:
    """Draw a cell for each layer and class that have filters together; the box that shows ``unproven`` ones beside
    the ``proven``, and both.

    Parameters
    ----------
    layers, classes : all names; a class that is kept has its column between two ``edges``, the first layer is on top.
    """
    tables = {
        name: np.asarray(faces.side[name].transpose("layer", "class").values)[:, faces.kept]
        for name in ("ratio", "union", "expected", "p")
    }
    proven = (tables["union"] > 0) & (tables["p"] <= PROVEN)
    unproven = (tables["union"] > 0) & ~proven
    rasters = {}
    for name, some in (("proven", proven), ("unproven", unproven)):
        layer, c = np.nonzero(some)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.clip(np.nan_to_num(np.log2(tables["ratio"][layer, c]), nan=0.0), RATIO.low, RATIO.high)
        label = faces.kept[c]
        told = {"layer": layer, "class": label, **{key: tables[key][layer, c] for key in ("union", "expected", "p")}}
        cells = Cells(
            (layer, label), len(layers) - 1 - layer, c, size, np.abs(size), told, {"layer": layers, "class": classes}
        )
        rasters[name] = Raster(plot, cells, RATIO, np.arange(len(layers) + 1.0), plot.frame_height, TOOLTIPS)
        rasters[name].draw(class_columns(edges))
    rasters["unproven"].glyph.visible = False
    gaps(plot, len(layers), 0, float(edges[-1]))
    words = f"{int(unproven.sum()):,} links that may be chance (proven: {int(proven.sum()):,}; p ≤ {PROVEN:g})"
    box = CheckboxGroup(labels=[words], active=[], margin=(4, 0, 0, 18))
    code = "cells.visible = this.active.length > 0"
    box.js_on_change("active", CustomJS(args={"cells": rasters["unproven"].glyph}, code=code))
    return box, rasters


def class_columns(edges: NDArray[np.float64]) -> Columns:
    """Columns of the face over the classes between ``edges``; where there is room, the last one of each is empty."""
    at = np.linspace(0, edges[-1], FINE + 1)
    if len(edges) - 1 > FINE // 4:
        first = np.searchsorted(edges, at[:-1], side="right") - 1
        last = np.searchsorted(edges, at[1:], side="left")
    else:
        first = np.searchsorted(edges, (at[1:] + at[:-1]) / 2, side="right") - 1
        last = first + 1
        first = np.where(np.diff(last, append=last[-1] + 1) > 0, last, first)
    return Columns(0.0, float(edges[-1]) / FINE, first, last)


__all__ = ["draw_links"]
