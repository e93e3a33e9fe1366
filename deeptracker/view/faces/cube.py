"""The cube, unfolded: classes × time above, layers × time in front, layers × classes at the right."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, Div, HoverTool, Range1d, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from deeptracker.screen.answers import class_names
from deeptracker.screen.cube import faces
from deeptracker.view import heading, palettes, words
from deeptracker.view.event.events import anomalies
from deeptracker.view.faces import minisets
from deeptracker.view.faces.cut import Cut, masks
from deeptracker.view.faces.links import draw_links
from deeptracker.view.places import layers_of, short, stages_of
from deeptracker.view.scale import RATIO, count_scale
from deeptracker.view.timeline import FONT, Timeline, named_rows, plain

SIDE = 380
FADED = 0.1
"""Opacity of cells outside a cut."""


class Cube:
    """Three faces with shared ranges and one cursor on all of them.

    Cells of the top face are passes at which the left or the right rule marks a class; of the front, filters of a
    layer at the alarm level since the previous pass; of the right, the filters seen together with each class against
    the number expected from how often either is abnormal, where the link of the two is proven; the others on demand.
    """

    def __init__(self, run: Any, view: str, timeline: Timeline | None = None) -> None:
        self.run, self.view, self.timeline = run, view, timeline or Timeline(run)
        self.faces = faces(run, view)
        self.cells: dict[str, ColumnDataSource] = {}
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

    def _spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each pass stands for the iterations since the pass before it: (previous, this]."""
        times = self.faces.passes
        previous = np.concatenate([[int(times[0] - np.median(np.diff(times))) if len(times) > 1 else 0], times[:-1]])
        return np.maximum(previous, int(np.ceil(self.timeline.full[0]))), times

    def _top(self, height: int) -> Any:
        plot = self.timeline.figure(height, y_range=self.class_range, min_border_right=0)
        cells, (left, right) = self.faces.top, self._spans()
        p, c = cells["place"].values, np.searchsorted(self.kept, cells["class_index"].values)
        counts = cells["count"].values
        source = ColumnDataSource(
            {
                "left": left[p],
                "right": right[p],
                "bottom": self.edges[c],
                "top": self.edges[c + 1],
                "colour": self.count_scale.colours_of(counts),
                "alpha": np.ones(len(counts)),
                "place": p,
                "class_index": cells["class_index"].values,
                "class": [self.names[self.kept[i]] for i in c],
                "count": counts,
            }
        )
        quads = plot.quad(
            "left", "right", "top", "bottom", source=source, fill_color="colour", line_color="colour", line_width=0.5,
            fill_alpha="alpha", line_alpha="alpha",
        )  # fmt: skip
        self.cells["top"] = source
        plot.add_tools(
            HoverTool(
                renderers=[quads],
                tooltips=[
                    ("class", "@class"),
                    ("pass", "iteration @right{0,0}"),
                    ("changed together", "@count images"),
                ],
            )
        )
        plot.segment(
            x0=self.timeline.full[0], x1=self.timeline.full[1], y0=self.edges[1:-1], y1=self.edges[1:-1],
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

    def _front(self, height: int) -> Any:
        plot = self.timeline.figure(height, axis=True, y_range=self.layer_range, min_border_right=0)
        table = np.asarray(self.faces.front["filters"].transpose("validation", "layer").values)
        left, right = self._spans()
        p, layer = np.nonzero(table)
        bottom = len(self.layers) - 1 - layer
        source = ColumnDataSource(
            {
                "left": left[p],
                "right": right[p],
                "bottom": bottom + 0.06,
                "top": bottom + 0.94,
                "colour": self.filter_scale.colours_of(table[p, layer]),
                "alpha": np.ones(len(p)),
                "place": p,
                "layer_index": layer,
                "layer": [self.layers[i].name for i in layer],
                "count": table[p, layer],
                "of": [self.layers[i].count for i in layer],
            }
        )
        cells = plot.quad(
            "left", "right", "top", "bottom", source=source, fill_color="colour", fill_alpha="alpha", line_color=None
        )
        self.cells["front"] = source
        plot.add_tools(
            HoverTool(
                renderers=[cells],
                tooltips=[
                    ("layer", "@layer"),
                    ("iterations", "@left{0,0} – @right{0,0}"),
                    ("at the alarm level", "@count of @of filters"),
                ],
            )
        )
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
        self.unproven, self.cells["side"] = draw_links(plot, self.faces, names, list(self.names), self.edges)
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
        abnormal = np.zeros((len(self.faces.passes), len(self.names)), bool)
        abnormal[self.cells["top"].data["place"], self.cells["top"].data["class_index"]] = True
        filters = np.asarray(self.faces.front["filters"].transpose("validation", "layer").values)
        inside = dict(zip(("top", "front", "side"), masks(abnormal, filters, cut), strict=True))
        axes = {
            "top": ("place", "class_index"),
            "front": ("place", "layer_index"),
            "side": ("layer_index", "class_index"),
        }
        for face, source in self.cells.items():
            at = tuple(np.asarray(source.data[name], dtype=np.intp) for name in axes[face])
            kept = inside[face][at] if cut else np.ones(len(at[0]), bool)
            alpha = np.where(kept, 1.0, FADED)
            if not np.array_equal(alpha, source.data["alpha"]):
                source.data["alpha"] = alpha  # this column alone travels to the browser

    def cell_at(self, face: str, x: float, y: float) -> tuple[int | None, int | None, int | None]:
        """(pass, layer, class) positions of a place on a face; None for the axis that the face does not have."""
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
            text = (
                f'<div style="margin-top:8px;border-left:3px solid {palettes.SELECTED};padding-left:8px;'
                f'color:{palettes.INK};font-size:12px"><b>{found["rank"]} · {words.cause(found["cause"])}</b><br>'
                f"iterations {words.when(found)}<br>{words.where(found)}</div>"
            )
        legends = "".join(heading.legend(s, 180) for s in (self.count_scale, self.filter_scale, RATIO))
        signs = heading.sign("▬", palettes.INK, "mini-set: filters abnormal in the same cells")
        return (
            f'<div style="font-family:{FONT};font-size:11px;color:{palettes.MUTED};display:flex;flex-wrap:wrap;'
            f'gap:6px 18px">{legends}<div style="width:180px">{signs}</div></div>{text}'
        )


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
