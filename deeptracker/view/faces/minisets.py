"""Mini-sets on the cube's right face: filters of a layer that are anomalous in the same cells, as small drawings.

As in the original (Liu et al. 2018): a row is a layer, a column a class; a rectangle is a mini-set at one
(class, iteration). A horizontal line joins a mini-set's first and last occurrence, the thicker the more filters; a
vertical line joins the mini-sets of one iteration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from bokeh.models import CheckboxGroup, ColumnDataSource, CustomJS, HoverTool
from numpy.typing import NDArray

from deeptracker.screen import table
from deeptracker.screen.cube import abnormal_passes, minisets
from deeptracker.view.palettes import INK, PAPER


@dataclass(slots=True)
class Drawing:
    """Data of three glyphs, in the coordinates of the face, and how many mini-sets they show."""

    rectangles: dict[str, list[Any]] = field(
        default_factory=lambda: {
            k: [] for k in ("x", "y", "w", "h", "layer", "class", "iteration", "size", "filters")
        }
    )
    horizontal: dict[str, list[Any]] = field(
        default_factory=lambda: {k: [] for k in ("x0", "x1", "y", "width", "size")}
    )
    vertical: dict[str, list[Any]] = field(default_factory=lambda: {k: [] for k in ("x", "y0", "y1")})
    count: int = 0


def draw(
    run: Any,
    view: str,
    *,
    columns: dict[int, tuple[float, float]],
    rows: dict[int, float],
    layers: list[str],
    classes: list[str],
    most: int = 400,
    tolerant: bool = False,
) -> Drawing:
    """Lay out the largest mini-sets.

    Parameters
    ----------
    columns : class position → (left, right) of its column; a class left out has none.
    rows : layer position → middle of its row, one unit high.
    layers, classes : names, for hovers.
    most : how many mini-sets are drawn at most, by cells × size.
    tolerant : those of filters that share most of their cells, instead of all.
    """
    drawing = Drawing()
    found = minisets(run, view, tolerant=tolerant)
    if found is None:
        return drawing
    sets, cells, filters = found
    members = _members(run, filters, sets.sizes["miniset"])
    weight = sets["size"].values.astype(np.int64) * sets["cells"].values
    chosen = np.argsort(-weight, kind="stable")[:most]
    places = _places(run, view)
    heights = _heights(sets["layer"].values, chosen)
    amounts = np.bincount(sets["layer"].values[chosen], minlength=len(layers))
    seen: dict[tuple[int, int], list[tuple[float, float]]] = {}
    drawing.count = len(chosen)
    for index in chosen:
        layer, size = int(sets["layer"].values[index]), int(sets["size"].values[index])
        y = rows[layer] + heights[int(index)]
        mine = cells["miniset"].values == index
        tall = min(0.4, 0.5 / int(amounts[layer]))
        xs = []
        for c, t in zip(cells["class_index"].values[mine], cells["iteration"].values[mine], strict=True):
            c, t = int(c), int(t)
            if c not in columns or (c, t) not in places:
                continue
            left, right = columns[c]
            rank, total = places[c, t]
            x = left + (right - left) * (rank + 0.5) / total
            wide = min((right - left) / total, 0.2 * (right - left)) * 0.8
            xs.append(x)
            box = drawing.rectangles
            for key, value in zip(
                box,
                (x, y, wide, tall, layers[layer], classes[c], t, size, ", ".join(map(str, members[int(index)][:12]))),
                strict=True,
            ):
                box[key].append(value)
            seen.setdefault((c, t), []).append((x, y))
        if len(xs) > 1:
            thick = 1 + min(3.0, 0.25 * size)
            for key, value in zip(drawing.horizontal, (min(xs), max(xs), y, thick, size), strict=True):
                drawing.horizontal[key].append(value)
    for points in seen.values():
        if len(points) > 1:
            drawing.vertical["x"].append(points[0][0])
            drawing.vertical["y0"].append(min(y for _, y in points))
            drawing.vertical["y1"].append(max(y for _, y in points))
    return drawing


def show(plot: Any, exact: Drawing, tolerant: Drawing) -> Any:
    """Put both drawings on the face; the box that shows the tolerant one in the place of the exact one."""
    strict, loose = _glyphs(plot, exact), _glyphs(plot, tolerant)
    for glyph in loose:
        glyph.visible = False
    label = f"mini-sets of filters with 80% of their cells in common: {tolerant.count} (with all: {exact.count})"
    box = CheckboxGroup(labels=[label], active=[], margin=(0, 0, 0, 18), visible=bool(tolerant.count))
    code = """
    for (const glyph of strict) glyph.visible = this.active.length == 0
    for (const glyph of loose) glyph.visible = this.active.length > 0
    """
    box.js_on_change("active", CustomJS(args={"strict": strict, "loose": loose}, code=code))
    return box


def hit(drawing: Drawing, x: float, y: float) -> dict[str, Any] | None:
    """The mini-set whose rectangle lies there: ``layer``, ``class``, ``iteration``, ``channels`` (a dozen)."""
    box = drawing.rectangles
    for i, (a, b, w, h) in enumerate(zip(box["x"], box["y"], box["w"], box["h"], strict=True)):
        if abs(x - a) <= max(w / 2, 0.02) and abs(y - b) <= max(h / 2, 0.06):
            channels = [int(c) for c in box["filters"][i].split(", ") if c]
            found = {key: box[key][i] for key in ("layer", "class", "iteration")}
            return {**found, "channels": channels}
    return None


def _glyphs(plot: Any, drawing: Drawing) -> list[Any]:
    lines, joints = ColumnDataSource(drawing.horizontal), ColumnDataSource(drawing.vertical)
    glyphs = [
        plot.segment("x0", "y", "x1", "y", source=lines, line_color=INK, line_width="width", line_alpha=0.55),
        plot.segment("x", "y0", "x", "y1", source=joints, line_color=INK, line_alpha=0.5),
        plot.rect(
            "x", "y", "w", "h", source=ColumnDataSource(drawing.rectangles), fill_color=INK, line_color=PAPER,
            line_width=0.5,
        ),
    ]  # fmt: skip
    tooltips = [
        ("mini-set", "@size filters of @layer"),
        ("channels", "@filters"),
        ("class", "@class"),
        ("pass", "iteration @iteration{0,0}"),
    ]
    plot.add_tools(HoverTool(renderers=glyphs[-1:], tooltips=tooltips))
    return glyphs


def _members(run: Any, filters: xr.Dataset, count: int) -> dict[int, list[int]]:
    """Channels of each of ``count`` mini-sets."""
    channels = table(run, "architecture", ["filter_channel"])["filter_channel"].values
    members: dict[int, list[int]] = {index: [] for index in range(count)}
    for index, position in zip(filters["miniset"].values, filters["filter"].values, strict=True):
        members[int(index)].append(int(channels[position]))
    return {index: sorted(found) for index, found in members.items()}


def _places(run: Any, view: str) -> dict[tuple[int, int], tuple[int, int]]:
    """(class, iteration) → (rank among the class's abnormal passes, their number)."""
    marked_passes = abnormal_passes(run, view)
    abnormal: NDArray[np.bool_] = np.asarray(marked_passes.values) > 0
    times = marked_passes["validation"].values
    places = {}
    for c in range(abnormal.shape[1]):
        marked = np.flatnonzero(abnormal[:, c])
        for rank, p in enumerate(marked):
            places[c, int(times[p])] = (rank, len(marked))
    return places


def _heights(layer: NDArray[np.int32], chosen: NDArray[np.intp]) -> dict[int, float]:
    """Mini-sets of one layer spread over its row, so that they do not hide one another."""
    heights = {}
    for value in np.unique(layer[chosen]):
        mine = [int(i) for i in chosen if layer[i] == value]
        for place, index in enumerate(mine):
            heights[index] = 0.36 - 0.72 * (place + 0.5) / len(mine)
    return heights
