"""The right face of the cube: how often filters of a layer go with a class; what may be chance is shown on demand."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import CDSView, CheckboxGroup, ColumnDataSource, CustomJS, HoverTool, IndexFilter
from numpy.typing import NDArray

from deeptracker.schema.derived import PROVEN
from deeptracker.screen.cube import Faces
from deeptracker.view.scale import RATIO


def draw_links(
    plot: Any, faces: Faces, layers: list[str], classes: list[str], edges: NDArray[np.float64]
) -> tuple[Any, ColumnDataSource]:
    """Draw a cell for each layer and class that have filters together; the box that shows the unproven ones, and the
    cells with their ``layer_index``, ``class_index`` and ``alpha``.

    Parameters
    ----------
    layers, classes : all names; a class that is kept has its column between two ``edges``, the first layer is on top.
    """
    tables = {
        name: np.asarray(faces.side[name].transpose("layer", "class").values)[:, faces.kept]
        for name in ("ratio", "union", "expected", "p")
    }
    layer, c = np.nonzero(tables["union"] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.clip(np.nan_to_num(np.log2(tables["ratio"][layer, c]), nan=0.0), RATIO.low, RATIO.high)
    bottom = len(layers) - 1 - layer
    source = ColumnDataSource(
        {
            "left": edges[c] + 0.03,
            "right": edges[c + 1] - 0.03,
            "bottom": bottom + 0.06,
            "top": bottom + 0.94,
            "colour": RATIO.colours_of(size),
            "alpha": np.ones(len(layer)),
            "layer_index": layer,
            "class_index": faces.kept[c],
            "layer": [layers[i] for i in layer],
            "class": [classes[faces.kept[i]] for i in c],
            **{name: tables[name][layer, c] for name in ("union", "expected", "p")},
        }
    )
    proven = tables["p"][layer, c] <= PROVEN
    sure, unsure = (
        plot.quad(
            "left", "right", "top", "bottom", source=source, fill_color="colour", fill_alpha="alpha",
            line_color=None, view=CDSView(filter=IndexFilter(np.flatnonzero(some).tolist())),
        )
        for some in (proven, ~proven)
    )  # fmt: skip
    unsure.visible = False
    plot.add_tools(
        HoverTool(
            renderers=[sure, unsure],
            tooltips=[
                ("layer", "@layer"),
                ("class", "@class"),
                ("filters seen together", "@union"),
                ("expected", "@expected{0.0}"),
                ("p of the link", "@p{0.0000}"),
            ],
        )
    )
    words = f"{int((~proven).sum())} links that may be chance (proven: {int(proven.sum())}; p ≤ {PROVEN:g})"
    box = CheckboxGroup(labels=[words], active=[], margin=(4, 0, 0, 18))
    box.js_on_change("active", CustomJS(args={"cells": unsure}, code="cells.visible = this.active.length > 0"))
    return box, source


__all__ = ["draw_links"]
