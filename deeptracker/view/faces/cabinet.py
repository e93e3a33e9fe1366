"""The cube in cabinet projection: the front square to the viewer, top and side slanted behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, Div, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray
from PIL import Image

from deeptracker.schema.derived import PROVEN
from deeptracker.screen.answers import class_names
from deeptracker.screen.cube import Faces
from deeptracker.view import palettes, words
from deeptracker.view.places import Place, short, stages_of
from deeptracker.view.scale import RATIO, Scale, count_scale
from deeptracker.view.timeline import FONT, plain

FRONT = (680, 300)
DEPTH = (260, 165)
"""How far the depth of the cube reaches to the right and upwards, in pixels."""
ROOM = (120, 110, 46)
"""Pixels at the left (layers), at the right (classes) and below (iterations)."""


@dataclass(frozen=True, slots=True)
class Projection:
    """From points of the cube (time, layer, class), each 0…1, to pixels, the front's lower left corner at (0, 0)."""

    wide: int = FRONT[0]
    high: int = FRONT[1]
    right: int = DEPTH[0]
    up: int = DEPTH[1]

    def at(self, time: Any, layer: Any, depth: Any) -> tuple[Any, Any]:
        """Pixels (x, y), y upwards; ``layer`` 0 is the lowest, ``depth`` 0 the nearest."""
        return self.wide * time + self.right * depth, self.high * layer + self.up * depth

    def face_at(self, x: float, y: float) -> tuple[str, float, float] | None:
        """(face, its first axis, its second axis) of a pixel: front (time, layer), top (time, class), side (class,
        layer); None beside the cube.
        """
        if 0 <= x <= self.wide and 0 <= y <= self.high:
            return "front", x / self.wide, y / self.high
        depth = (y - self.high) / self.up
        time = (x - self.right * depth) / self.wide
        if _within(depth) and _within(time):
            return "top", min(max(time, 0.0), 1.0), min(max(depth, 0.0), 1.0)
        depth = (x - self.wide) / self.right
        layer = (y - self.up * depth) / self.high
        if _within(depth) and _within(layer):
            return "side", min(max(depth, 0.0), 1.0), min(max(layer, 0.0), 1.0)
        return None

    @property
    def size(self) -> tuple[int, int]:
        return self.wide + self.right, self.high + self.up


def slanted(face: NDArray[np.uint8], projection: Projection, which: str) -> Image.Image:
    """A face (rows from above, columns) of RGBA as it appears in the whole picture, transparent around it.

    The top's rows are classes, the last one nearest; the side's rows are layers, its columns classes, nearest first.
    """
    wide, high = projection.size
    source = Image.fromarray(face)
    across, down = projection.wide, projection.high
    right, up = projection.right, projection.up
    if which == "front":
        out = Image.new("RGBA", (wide, high))
        out.paste(source.resize((across, down), Image.Resampling.NEAREST), (0, up))
        return out
    rows, columns = face.shape[:2]
    if which == "top":  # output (x, y from above) → column (x − right·(1 − y/up)) / across, row y / up
        matrix = (columns / across, columns * right / (across * up), -columns * right / across, 0, rows / up, 0)
    else:  # column (x − across) / right, row (y − up·(1 − (x − across)/right)) / down
        slope = rows * up / (down * right)
        matrix = (columns / right, 0, -columns * across / right, slope, rows / down, -slope * (across + right))
    return source.transform((wide, high), Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


class Cabinet:
    """A picture of the three faces with their labels; a tap tells where it was (``read``).

    Parameters
    ----------
    faces : as ``screen.cube.faces`` gives them. layers : of the net, the first on top.
    """

    def __init__(self, run: Any, view: str, faces: Faces, layers: list[Place]) -> None:
        self.faces, self.layers, self.projection = faces, layers, Projection()
        self.names = class_names(run, view, len(faces.abnormal_passes))
        self.kept = faces.kept
        self.count_scale = count_scale(faces.top["count"].values, "images changing their answer")
        self.filter_scale = count_scale(faces.front["filters"].values, "filters at the alarm level")
        self.lines = ColumnDataSource({"xs": [], "ys": []})
        self.said = Div(text="&nbsp;", width=FRONT[0], styles={"font": f"12px {FONT}", "color": palettes.MUTED})
        self.said.syncable = False
        self.plot = self._plot()

    @property
    def scales(self) -> list[Scale]:
        return [self.count_scale, self.filter_scale, RATIO]

    def picture(self) -> NDArray[np.uint8]:
        """All three faces, of links the proven ones, (rows from above, columns, RGBA)."""
        paper = Image.new("RGBA", self.projection.size)
        for which, face in (("top", self._top()), ("side", self._side()), ("front", self._front())):
            paper = Image.alpha_composite(paper, slanted(face, self.projection, which))
        return np.asarray(paper)

    def _columns(self) -> NDArray[np.intp]:
        """The pass of each column of pixels."""
        return np.linspace(0, max(len(self.faces.passes) - 1, 0), self.projection.wide).round().astype(np.intp)

    def _top(self) -> NDArray[np.uint8]:
        """Classes (rows, the last one nearest) × passes."""
        counts = np.zeros((len(self.faces.passes), len(self.names)), np.int64)
        cells = self.faces.top
        counts[cells["place"].values, cells["class_index"].values] = cells["count"].values
        kept = counts[:, self.kept]
        return _coloured(_shrunk(kept, self.projection.wide).T[::-1], self.count_scale)

    def _front(self) -> NDArray[np.uint8]:
        table = np.asarray(self.faces.front["filters"].transpose("validation", "layer").values)
        return _coloured(_shrunk(table, self.projection.wide).T, self.filter_scale)

    def _side(self) -> NDArray[np.uint8]:
        side = {n: np.asarray(self.faces.side[n].transpose("layer", "class").values) for n in ("ratio", "union", "p")}
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.nan_to_num(np.log2(side["ratio"][:, self.kept]), nan=0.0, neginf=RATIO.low, posinf=RATIO.high)
        out = palettes.rgb(RATIO.colours)[RATIO.encode(size) - 1]
        proven = (side["union"] > 0) & (side["p"] <= PROVEN)
        out[~proven[:, self.kept]] = 255
        return np.ascontiguousarray(_opaque(out))

    def _plot(self) -> Any:
        left, right, below = ROOM
        wide, high = self.projection.size
        plot = plain(
            figure(
                width=wide + left + right, height=high + below + 10, sizing_mode="fixed", tools="",
                toolbar_location=None, x_range=Range1d(-left, wide + right), y_range=Range1d(-below, high + 10),
                min_border=0, border_fill_color=palettes.PAPER, outline_line_color=None,
            )
        )  # fmt: skip
        plot.axis.visible = False
        packed = np.ascontiguousarray(self.picture()[::-1]).view(np.uint32)[..., 0]
        plot.image_rgba(image=[packed], x=0, y=0, dw=wide, dh=high)
        self._edges(plot)
        self._labels(plot)
        plot.multi_line("xs", "ys", source=self.lines, line_color=palettes.SELECTED, line_width=1.5)
        plot.js_on_event("mousemove", CustomJS(args=self._told(), code=_TOLD))
        return plot

    def rims(self) -> list[list[tuple[float, float, float]]]:
        """Edges of the cube, as paths of points (time, layer, class)."""
        return [
            [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 0)],
            [(0, 1, 0), (0, 1, 1), (1, 1, 1), (1, 1, 0)],
            [(1, 1, 1), (1, 0, 1), (1, 0, 0)],
        ]

    def labels(self) -> list[tuple[float, float, str, str]]:
        """(x, y, text, anchor l, m or r) of layers, classes and passes, y upwards."""
        one, count, kept, passes = self.projection.at, len(self.layers), len(self.kept), self.faces.passes
        out: list[tuple[float, float, str, str]] = []
        for i in range(0, count, max(1, -(-count * 13 // self.projection.high))):
            x, y = one(0, 1 - (i + 0.5) / count, 0)
            out.append((x - 6, y, short(self.layers[i].name, 18), "r"))
        for i in range(0, kept, max(1, -(-kept * 13 // self.projection.up))):
            x, y = one(1, 0, (i + 0.5) / kept)
            out.append((x + 8, y - 4, short(words.class_name(self.names[self.kept[i]]), 14), "l"))
        for i in np.unique(np.linspace(0, len(passes) - 1, min(6, len(passes))).round().astype(int)):
            x, y = one((i + 0.5) / len(passes), 0, 0)
            out.append((x, y - 14, f"{int(passes[i]):,}", "m"))
        return out

    def _edges(self, plot: Any) -> None:
        one = self.projection.at
        rims = [[one(*point) for point in rim] for rim in self.rims()]
        xs, ys = [[x for x, _ in rim] for rim in rims], [[y for _, y in rim] for rim in rims]
        plot.multi_line(xs, ys, line_color=palettes.MUTED, line_width=1)
        sizes = np.cumsum([len(members) for _, members in stages_of(self.layers)])[:-1]
        heights = [1 - size / len(self.layers) for size in sizes]
        borders = [[one(0, h, 0), one(1, h, 0), one(1, h, 1)] for h in heights]
        plot.multi_line(
            [[x for x, _ in b] for b in borders], [[y for _, y in b] for b in borders],
            line_color=palettes.INK, line_alpha=0.35, line_width=1,
        )  # fmt: skip

    def _labels(self, plot: Any) -> None:
        style = {"text_font": {"value": FONT}, "text_font_size": "11px", "text_baseline": "middle"}
        for anchor, align in (("l", "left"), ("m", "center"), ("r", "right")):
            mine = [label for label in self.labels() if label[3] == anchor]
            x, y, text = ([label[i] for label in mine] for i in range(3))
            plot.text(x, y, text, text_align=align, text_color=palettes.INK, **style)
        plot.text(
            [self.projection.wide / 2], [-32], ["validation pass, by its training iteration"], text_align="center",
            text_color=palettes.MUTED, **style,
        )  # fmt: skip

    def read(self, x: float, y: float) -> tuple[int | None, str | None, str | None] | None:
        """(iteration, layer, class) of a place of the picture, each None where the face does not have it."""
        found = self.projection.face_at(x, y)
        if found is None:
            return None
        which, across, up = found
        iteration = layer = label = None
        if which in ("front", "top"):
            iteration = int(self.faces.passes[_seat(across, len(self.faces.passes))])
        if which in ("front", "side"):
            layer = self.layers[len(self.layers) - 1 - _seat(up, len(self.layers))].name
        if which in ("top", "side"):
            label = self.names[self.kept[_seat(up if which == "top" else across, len(self.kept))]]
        return iteration, layer, label

    def show_cut(self, passes: list[int], layers: list[int], classes: list[int]) -> None:
        """Draw lines over all faces where the cube is cut: positions of passes, layers, classes."""
        one = self.projection.at
        kept = [int(np.flatnonzero(self.kept == c)[0]) for c in classes if c in self.kept]
        paths = []
        for place in passes:
            t = (place + 0.5) / max(len(self.faces.passes), 1)
            paths.append([one(t, 0, 0), one(t, 1, 0), one(t, 1, 1)])
        for place in layers:
            h = 1 - (place + 0.5) / len(self.layers)
            paths.append([one(0, h, 0), one(1, h, 0), one(1, h, 1)])
        for place in kept:
            z = (place + 0.5) / len(self.kept)
            paths.append([one(0, 1, z), one(1, 1, z), one(1, 0, z)])
        self.lines.data = {
            "xs": [[p[0] for p in path] for path in paths],
            "ys": [[p[1] for p in path] for path in paths],
        }

    def _told(self) -> dict[str, Any]:
        p = self.projection
        return {
            "said": self.said, "wide": p.wide, "high": p.high, "right": p.right, "up": p.up,
            "passes": [int(v) for v in self.faces.passes], "layers": [place.name for place in self.layers],
            "classes": [words.class_name(self.names[c]) for c in self.kept],
        }  # fmt: skip


def _within(share: float) -> bool:
    """Whether a share is 0…1, but for rounding."""
    return -1e-9 <= share <= 1 + 1e-9


def _seat(share: float, count: int) -> int:
    return min(count - 1, int(share * count))


def _shrunk(values: NDArray[np.int64], wide: int) -> NDArray[np.int64]:
    """(pass, …) with at most ``wide`` rows: the largest of each."""
    if len(values) <= wide:
        return values
    edges = np.linspace(0, len(values), wide + 1).astype(np.intp)[:-1]
    return np.asarray(np.maximum.reduceat(values, edges, axis=0))


def _coloured(counts: NDArray[np.int64], scale: Scale) -> NDArray[np.uint8]:
    out = palettes.rgb(scale.colours)[scale.encode(counts) - 1]
    out[counts == 0] = 255
    return np.ascontiguousarray(_opaque(out))


def _opaque(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([colours, np.full((*colours.shape[:2], 1), 255, np.uint8)], axis=2)


_TOLD = """
const x = cb_obj.x, y = cb_obj.y, seat = (share, n) => Math.min(n - 1, Math.floor(share * n))
const time = share => `pass at ${passes[seat(share, passes.length)].toLocaleString('en-US')}`
const layer = share => layers[layers.length - 1 - seat(share, layers.length)]
const label = share => classes[seat(share, classes.length)]
let text = '\\u00a0'
if (x >= 0 && x <= wide && y >= 0 && y <= high) text = `${time(x / wide)} · ${layer(y / high)}`
else {
  const depth = (y - high) / up, t = (x - right * depth) / wide
  const behind = (x - wide) / right, h = (y - up * behind) / high
  if (depth >= 0 && depth <= 1 && t >= 0 && t <= 1) text = `${time(t)} · ${label(depth)}`
  else if (behind >= 0 && behind <= 1 && h >= 0 && h <= 1) text = `${layer(h)} · ${label(behind)}`
}
const escaped = document.createElement('span')
escaped.textContent = text
said.text = escaped.innerHTML
"""

__all__ = ["Cabinet", "Projection", "slanted"]
