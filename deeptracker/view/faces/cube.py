"""The cube, unfolded: classes × time above, layers × time in front, layers × classes at the right."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import CustomJS, Div, NoOverlap, Range1d, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from deeptracker.screen.answers import class_names
from deeptracker.screen.cube import faces
from deeptracker.screen.level import within
from deeptracker.view import heading, palettes, words
from deeptracker.view.columns import Columns, columns
from deeptracker.view.event.events import anomalies
from deeptracker.view.faces import minisets
from deeptracker.view.faces.cut import Cut, masks
from deeptracker.view.faces.links import draw_links
from deeptracker.view.faces.raster import PIXELS, Cells, Raster, gaps
from deeptracker.view.places import layers_of, short, stages_of
from deeptracker.view.scale import RATIO, count_scale
from deeptracker.view.timeline import FONT, Timeline, named_rows, plain

SIDE = 380
BESIDE_FACE = SIDE + 100
"""Pixels of the page that the faces over time and their left margin leave to the others."""
LINED = 6
"""Pixels of a row from which on lines divide the rows."""


class Cube:
    """Three faces with shared ranges and one cursor on all of them.

    Cells of the top face are passes at which the left or the right rule marks a class; of the front, filters of a
    layer at the alarm level since the previous pass; of the right, the filters seen together with each class against
    the number expected from how often either is abnormal, where the link of the two is proven; the others on demand.
    """

    def __init__(self, run: Any, view: str, timeline: Timeline | None = None) -> None:
        self.run, self.view, self.timeline = run, view, timeline or Timeline(run)
        self.faces = faces(run, view)
        self.rasters: dict[str, Raster] = {}
        self.since = since(self.faces.passes)
        self.kept = self.faces.kept
        self.layers = layers_of(run)
        self.names = class_names(run, view, len(self.faces.abnormal_passes))
        self.widths = widths(self.faces.abnormal_passes[self.kept])
        self.edges = np.concatenate([[0.0], np.cumsum(self.widths)])
        strip = int(np.clip(340 // max(1, len(self.layers)), 9, 22))
        self.class_range = Range1d(0, float(self.edges[-1]))
        self.layer_range = Range1d(0, len(self.layers))
        self.count_scale = count_scale(self.faces.top["count"].values, "images changing their answer")
        self.filter_scale = count_scale(self.faces.front["filters"].values, "filters at the alarm level")
        self.top = self._top(int(np.clip(18 * len(self.kept), 150, 260)))
        self.front = self._front(strip * len(self.layers))
        self.right = self._right(strip * len(self.layers))
        self.draw(self.columns(*self.timeline.full))
        self.corner = Div(
            text=self.corner_html(None), width=SIDE + 60, height=self.top.frame_height, margin=(0, 0, 0, 18)
        )
        self._cursors()
        self.layout = row(
            column(self.top, self.front, sizing_mode="stretch_width", spacing=0),
            column(self.corner, self.right, self.unproven, self.tolerance, spacing=0),
            sizing_mode="stretch_width",
            spacing=0,
        )

    def columns(self, first: float, last: float, pixels: int = PIXELS) -> tuple[Columns, int]:
        """Columns of the passes between two iterations, at most so many, and the first of those passes."""
        start, stop = within(self.since, first, last)
        return columns(self.since[start : stop + 1], first, last, pixels), start

    def draw(self, made: tuple[Columns, int]) -> None:
        """Draw the faces that have a time axis on other columns."""
        for face in ("top", "front"):
            self.rasters[face].draw(*made)

    def blurs(self) -> bool:
        """Whether a part of the run has columns that are finer than those of the whole."""
        return not np.array_equal(self.columns(*self.timeline.full)[0].first, np.arange(len(self.since)))

    def _top(self, height: int) -> Any:
        plot = self.timeline.figure(height, y_range=self.class_range, min_border_right=0)
        cells = self.faces.top
        place, label = cells["place"].values, cells["class_index"].values
        borders = joined(self.edges, height // 2)
        band = np.searchsorted(borders, np.searchsorted(self.kept, label), side="right") - 1
        counts = cells["count"].values
        told = {"class": label, "iteration": self.faces.passes[place], "count": counts}
        drawn = Cells((place, label), band, place, counts, counts, told, {"class": list(self.names)})
        tooltips = [
            ("class", "@cell{class}"),
            ("pass", "iteration @cell{iteration}"),
            ("changed together", "@cell{count} images"),
        ]
        edges = self.edges[borders]
        self.rasters["top"] = Raster(plot, drawn, self.count_scale, edges, height, tooltips)
        if height >= LINED * len(self.kept):
            plot.segment(
                x0=self.timeline.full[0], x1=self.timeline.full[1], y0=edges[1:-1], y1=edges[1:-1],
                line_color=palettes.FAINT, line_width=1,
            )  # fmt: skip
        self._class_axis(plot.yaxis, long=True)
        return plot

    def _class_axis(self, axis: Any, long: bool) -> None:
        middles = (self.edges[1:] + self.edges[:-1]) / 2
        step = max(1, len(self.kept) // 24)
        named_rows(
            axis,
            [float(m) for m in middles[::step]],
            [short(words.class_name(self.names[c]) if long else self.names[c]) for c in self.kept[::step]],
        )
        axis.major_label_policy = NoOverlap(min_distance=2)

    def _front(self, height: int) -> Any:
        plot = self.timeline.figure(height, axis=True, y_range=self.layer_range, min_border_right=0)
        table = np.asarray(self.faces.front["filters"].transpose("validation", "layer").values)
        place, layer = np.nonzero(table)
        counts = table[place, layer]
        left = np.maximum(self.since[place], int(np.ceil(self.timeline.full[0])))
        told = {"layer": layer, "left": left, "right": self.faces.passes[place], "count": counts}
        told["of"] = np.array([one.count for one in self.layers], np.int64)[layer]
        band = len(self.layers) - 1 - layer
        drawn = Cells((place, layer), band, place, counts, counts, told, {"layer": [one.name for one in self.layers]})
        tooltips = [
            ("layer", "@cell{layer}"),
            ("iterations", "@cell{left} – @cell{right}"),
            ("at the alarm level", "@cell{count} of @cell{of} filters"),
        ]
        edges = np.arange(len(self.layers) + 1, dtype=np.float64)
        self.rasters["front"] = Raster(plot, drawn, self.filter_scale, edges, height, tooltips)
        gaps(plot, len(self.layers), *self.timeline.full)
        count = len(self.layers)
        named_rows(plot.yaxis, [count - i - 0.5 for i in range(count)], [short(p.name) for p in self.layers])
        self._stage_borders(plot, *self.timeline.full)
        return plot

    def _stage_borders(self, plot: Any, start: float, stop: float) -> None:
        sizes = np.cumsum([len(members) for _, members in stages_of(self.layers)])[:-1]
        y = (len(self.layers) - sizes).tolist()
        plot.segment(x0=start, x1=stop, y0=y, y1=y, line_color=palettes.INK, line_alpha=0.45, line_width=1)

    def _right(self, height: int) -> Any:
        plot = plain(
            figure(
                frame_width=SIDE, frame_height=height, x_range=self.class_range, y_range=self.layer_range, tools="",
                toolbar_location=None, min_border_left=18, min_border_right=2, min_border_top=0, min_border_bottom=0,
                outline_line_color=palettes.FAINT, border_fill_color=palettes.PAPER, x_axis_label="class",
            )
        )  # fmt: skip
        names = [place.name for place in self.layers]
        self.unproven, links = draw_links(plot, self.faces, names, list(self.names), self.edges)
        self.rasters |= links
        plot.yaxis.visible = False
        self._class_axis(plot.xaxis, long=False)
        plot.xaxis.axis_label_standoff = 2
        self._stage_borders(plot, 0, float(self.edges[-1]))
        self._minisets(plot)
        return plot

    def _minisets(self, plot: Any) -> None:
        columns = {
            int(c): (float(self.edges[i]) + 0.06, float(self.edges[i + 1]) - 0.06) for i, c in enumerate(self.kept)
        }
        rows = {i: len(self.layers) - i - 0.5 for i in range(len(self.layers))}
        exact, tolerant = (
            minisets.draw(
                self.run, self.view, columns=columns, rows=rows, layers=[p.name for p in self.layers],
                classes=list(self.names), tolerant=some,
            )
            for some in (False, True)
        )  # fmt: skip
        self.drawings = (exact, tolerant)
        self.tolerance = minisets.show(plot, exact, tolerant)

    def cut(self, cut: Cut) -> None:
        """Leave the cells that lie in a cut as they are and fade the others; an empty cut shows all."""
        top = self.rasters["top"].cells
        abnormal = np.zeros((len(self.faces.passes), len(self.names)), bool)
        abnormal[top.at] = True
        filters = np.asarray(self.faces.front["filters"].transpose("validation", "layer").values)
        above, before, beside = masks(abnormal, filters, cut)
        inside = {"top": above, "front": before, "proven": beside, "unproven": beside}
        for face, raster in self.rasters.items():
            at = raster.cells.at
            raster.cut(inside[face][at] if cut else np.ones(len(at[0]), bool))

    def cell_at(self, face: str, x: float, y: float) -> tuple[int | None, int | None, int | None]:
        """(pass, layer, class) positions of a place on a face; None for the axis that the face does not have.

        Those of the cell that is seen there, where there is one.
        """
        for name in (face,) if face != "right" else ("unproven", "proven"):
            raster = self.rasters[name]
            number = raster.cell_at(x, y) if raster.glyph.visible else None
            if number is not None:
                one, other = (int(axis[number]) for axis in raster.cells.at)
                return {"top": (one, None, other), "front": (one, other, None)}.get(face, (None, one, other))
        place = layer = label = None
        if face in ("top", "front"):
            place = int(np.clip(np.searchsorted(self.faces.passes, x), 0, max(len(self.faces.passes) - 1, 0)))
        if face in ("front", "right"):
            layer = int(np.clip(len(self.layers) - 1 - np.floor(y), 0, len(self.layers) - 1))
        if face in ("top", "right"):
            along = y if face == "top" else x
            label = int(self.kept[np.clip(np.searchsorted(self.edges, along) - 1, 0, len(self.kept) - 1)])
        return place, layer, label

    def _cursors(self) -> None:
        """Where the pointer is on one face, its iteration, layer and class are drawn on the other two."""
        style = {"line_color": palettes.SELECTED, "line_width": 1, "line_alpha": 0.8, "visible": False}
        spans = {
            name: Span(
                dimension="width" if name in ("top_class", "front_layer", "right_layer") else "height", **style
            )
            for name in ("top_class", "front_layer", "right_layer", "right_class")
        }
        for span in spans.values():
            span.syncable = False
        for plot, names in (
            (self.top, ("top_class",)),
            (self.front, ("front_layer",)),
            (self.right, ("right_layer", "right_class")),
        ):
            for name in names:
                plot.add_layout(spans[name])
        for face, plot in (("top", self.top), ("front", self.front), ("right", self.right)):
            plot.js_on_event("mousemove", CustomJS(args=spans, code=f"const face = '{face}'\n{_MOVE}"))
            plot.js_on_event("mouseleave", CustomJS(args=spans, code=_LEAVE))

    def corner_html(self, event: dict[str, Any] | None) -> str:
        """The empty corner: legends of the three faces, and the selected event (else the strongest) in words."""
        found = event or next(iter(anomalies(self.run)), None)
        text = ""
        if found is not None:
            cause, where = words.html(words.cause(found["cause"])), words.html(words.where(found))
            text = (
                f'<div style="margin-top:8px;border-left:3px solid {palettes.SELECTED};padding-left:8px;'
                f'color:{palettes.INK};font-size:12px"><b>{int(found["rank"])} · {cause}</b><br>'
                f"iterations {words.when(found)}<br>{where}</div>"
            )
        legends = "".join(heading.legend(s, 180) for s in (self.count_scale, self.filter_scale, RATIO))
        signs = heading.sign("▬", palettes.INK, "mini-set: filters abnormal in the same cells")
        return (
            f'<div style="font-family:{FONT};font-size:11px;color:{palettes.MUTED};display:flex;flex-wrap:wrap;'
            f'gap:6px 18px">{legends}<div style="width:180px">{signs}</div></div>{text}'
        )


def since(passes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The iterations from which on each pass counts, up to itself, and the last pass: (previous, this]."""
    before = int(passes[0] - np.median(np.diff(passes))) if len(passes) > 1 else 0
    return np.concatenate([[before], passes]).astype(np.int64) if len(passes) else np.zeros(0, np.int64)


def joined(edges: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Which edges are left where neighbours are joined until there are at most so many rows of about one height."""
    if len(edges) - 1 <= most:
        return np.arange(len(edges))
    return np.unique(np.searchsorted(edges, np.linspace(0, edges[-1], most + 1) - 1e-9))


def widths(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Width of each class: its abnormal passes, kept within 0.7 to 2.5 times the average, to stay legible."""
    counts = counts.astype(np.float64)
    mean = counts.mean() if len(counts) else 0.0
    return np.clip(counts / mean, 0.7, 2.5) if mean > 0 else np.ones(len(counts))


_MOVE = """
const show = (span, at) => span.setv({location: at, visible: true})
const hide = span => { span.visible = false }
if (face == 'top') { show(top_class, cb_obj.y); show(right_class, cb_obj.y); hide(front_layer); hide(right_layer) }
if (face == 'front') { show(front_layer, cb_obj.y); show(right_layer, cb_obj.y); hide(top_class); hide(right_class) }
if (face == 'right') {
  show(right_class, cb_obj.x); show(top_class, cb_obj.x); show(right_layer, cb_obj.y); show(front_layer, cb_obj.y)
}
"""
_LEAVE = "for (const span of [top_class, front_layer, right_layer, right_class]) span.visible = false"
