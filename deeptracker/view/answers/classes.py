"""Classes over time: a row of heat for all images, each cluster or class, with the marks of the two rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, LinearColorMapper, Range1d
from numpy.typing import NDArray

from deeptracker.errors import InputError
from deeptracker.screen import sizes
from deeptracker.screen.answers import Classes, error_by_class, errors_of
from deeptracker.screen.cube import rule_counts
from deeptracker.screen.ordering import clusters_of, ordered
from deeptracker.view import palettes, words
from deeptracker.view.columns import Columns, columns
from deeptracker.view.network.layer_values import squeeze
from deeptracker.view.pattern import pattern as regular
from deeptracker.view.places import short
from deeptracker.view.scale import Scale, share_scale
from deeptracker.view.timeline import Timeline, named_rows

PIXELS = 1000
MARKS = {"left": "◀", "right": "▶"}
SHARE_OF_CLASS = 0.1
LEAST_IMAGES = 3
MOST_MARKS = 400
MOST_PIXELS = 360
"""Height of all rows together; more classes than that share rows, which show the worst of theirs."""
MARK = (5.0, 15.0)
"""Width of a mark, of few images and of a whole class."""


def planned(passes: int) -> int:
    """k₀ of the rules: 4% of the passes, at least 2."""
    return max(2, round(0.04 * passes))


@dataclass(frozen=True, slots=True)
class Row:
    """One row: ``kind`` all, cluster or class; ``index`` of the cluster or the class."""

    kind: str
    index: int
    name: str


class ClassRows:
    """Share of wrong answers, a row each; triangles where many images of a class changed their answer at once.

    Parameters
    ----------
    order : of the classes, see ``screen.ordering.ORDERS``.
    level : ``class``, or ``cluster`` with the clusters named in ``opened`` (``cluster 3``) shown as their classes.
    pattern : a regular expression that the names of the shown classes match.
    row : pixels of a row; default: what fits. marks : whether they are drawn at once; else ``add_marks`` does.
    """

    def __init__(
        self,
        run: Any,
        view: str,
        timeline: Timeline | None = None,
        *,
        order: str = "usual",
        level: str = "class",
        opened: Sequence[str] = (),
        pattern: str = "",
        row: float | None = None,
        marks: bool = True,
    ) -> None:
        self.run, self.view, self.timeline = run, view, timeline or Timeline(run)
        self.classes = ordered(run, view, order)
        self.clusters = clusters_of(run, view)
        self.rows = _rows(self.classes, self.clusters if level == "cluster" else None, opened, pattern)
        count = len(self.rows)
        height = row or float(np.clip(MOST_PIXELS / max(count, 1), 0.1, 16))
        self.plot = self._plot(count, height)
        self.marks = ColumnDataSource({})
        self._high = min(height * 0.75, MARK[1])
        if marks:
            self.add_marks()

    def add_marks(self) -> None:
        """Draw the marks of the two rules; in a long run they are a thousand small reads."""
        self.marks.data = self._marks()
        self._draw_marks(self._high)

    def _shares(self) -> tuple[Columns, NDArray[np.float32]]:
        """(columns, share wrong (column, row)); the scale is that of the classes."""
        passes, share = error_by_class(self.run, self.view, self.classes)
        self.scale = share_scale(share, "images answered wrongly")
        grid = columns(passes, *self.timeline.full, PIXELS)
        cells = grid.reduce(share, "max")
        others: dict[str, NDArray[np.float32]] = {"class": cells}
        for kind, part in (("all", "all"), ("cluster", "clusters")):
            if any(one.kind == kind for one in self.rows):
                found = errors_of(self.run, self.view, part, partial(self._members, kind), pixels=PIXELS)
                same = columns(found.passes, *self.timeline.full, PIXELS)
                others[kind] = same.reduce(found.share, "max")
        wide = min(len(one) for one in others.values())
        return grid, np.stack([others[one.kind][:wide, one.index] for one in self.rows], axis=1)

    def _members(self, kind: str) -> list[NDArray[np.intp]]:
        """Images of each cluster, or all images."""
        each = self.classes.each()
        if kind == "all" or self.clusters is None:
            return [np.sort(np.concatenate(each))]
        return [
            np.sort(np.concatenate([each[c] for c in np.flatnonzero(self.clusters == cluster)]))
            for cluster in range(int(self.clusters.max()) + 1)
        ]

    def _plot(self, count: int, height: float) -> Any:
        plot = self.timeline.figure(
            round(max(height * count, 60)), axis=True, y_range=Range1d(0, count), min_border_top=6
        )
        names = [one.name for one in self.rows]
        step = max(1, int(np.ceil(14 / height)))
        places = list(range(0, count, step))
        named_rows(plot.yaxis, [count - i - 0.5 for i in places], [short(names[i]) for i in places])
        grid, share = self._shares()
        cells = self.scale.encode(squeeze(share, MOST_PIXELS))
        source = ColumnDataSource(
            {
                "image": [np.ascontiguousarray(cells.T[::-1])],
                "x": [grid.left],
                "dw": [max(grid.width * grid.count, 1e-9)],
            }
        )
        mapper = LinearColorMapper(low=1, high=255, low_color=palettes.MISSING, palette=list(self.scale.colours))
        glyph = plot.image("image", "x", 0, "dw", count, source=source, color_mapper=mapper, level="image")
        name = CustomJSHover(
            args={"names": names}, code="return names[names.length - 1 - Math.floor(special_vars.y)]"
        )
        plot.add_tools(
            HoverTool(
                renderers=[glyph],
                tooltips=[("", "$y{custom}"), ("iteration", "$x{0,0}"), ("answered wrongly", "@image{custom}")],
                formatters={"$y": name, "@image": percent(self.scale)},
            )
        )
        inner = list(range(1, count)) if height > 6 else []
        ends = {"x0": self.timeline.full[0], "x1": self.timeline.full[1]}
        plot.segment(**ends, y0=inner, y1=inner, line_color=palettes.PAPER, line_width=1)
        under_all = [count - 1] if self.rows and self.rows[0].kind == "all" and count > 1 else []
        plot.segment(**ends, y0=under_all, y1=under_all, line_color=palettes.INK, line_alpha=0.5, line_width=1)
        return plot

    def _marks(self) -> dict[str, list[Any]]:
        """Where the left or the right rule counts many images of a class: position, symbol, width, words."""
        data: dict[str, list[Any]] = {key: [] for key in ("x", "y", "symbol", "colour", "text", "alarm", "size")}
        passes = sizes(self.run, f"validation/{self.view}")["validation"]
        size = np.diff(self.classes.borders)[np.argsort(self.classes.order)]
        least = np.maximum(LEAST_IMAGES, np.ceil(SHARE_OF_CLASS * size)).astype(np.int64)
        place = {row.index: len(self.rows) - i - 0.5 for i, row in enumerate(self.rows) if row.kind == "class"}
        found = rule_counts(self.run, self.view, planned(passes), least, MOST_MARKS)
        k = found.attrs["k"]
        for mark in range(found.sizes["mark"]):
            index = int(found["class_index"].values[mark])
            if index not in place:
                continue
            side, gained = str(found["side"].values[mark]), found["direction"].values[mark] == "gain"
            amount = int(found["images"].values[mark])
            data["x"].append(int(found["iteration"].values[mark]))
            data["y"].append(place[index])
            data["symbol"].append(MARKS[side])
            data["colour"].append(palettes.GAIN if gained else palettes.LOST)
            turned = "turned right" if gained else "turned wrong"
            stayed = f"after at least {k} constant passes" if side == "left" else f"and stayed so for {k} passes"
            data["text"].append(f"{words.count(amount, 'image')} {turned} {stayed}")
            data["alarm"].append(amount)
            share = min(1.0, amount / max(int(size[index]), 1))
            data["size"].append(MARK[0] + (MARK[1] - MARK[0]) * share**0.5)
        return data

    def _draw_marks(self, most: float) -> None:
        """The width of a triangle tells the share of the class; its colour, whether it is a gain or a loss."""
        for symbol, angle, name in (("◀", np.pi / 2, "marks -1"), ("▶", -np.pi / 2, "marks 1")):
            chosen = [i for i, s in enumerate(self.marks.data["symbol"]) if s == symbol]
            if not chosen:
                continue
            data = {key: [column[i] for i in chosen] for key, column in self.marks.data.items()}
            data["size"] = [max(3.0, one * most / MARK[1]) for one in data["size"]]
            glyph = self.plot.scatter(
                "x", "y", source=ColumnDataSource(data), marker="triangle", angle=angle, size="size",
                fill_color="colour", line_color=palettes.PAPER, line_width=0.8, name=name,
            )  # fmt: skip
            self.plot.add_tools(HoverTool(renderers=[glyph], tooltips=[("", "@text"), ("iteration", "@x{0,0}")]))

    def row_at(self, y: float) -> Row | None:
        """The row that lies at a height of the figure."""
        row = len(self.rows) - 1 - int(np.floor(y))
        return self.rows[row] if 0 <= row < len(self.rows) else None


def _rows(classes: Classes, clusters: NDArray[np.intp] | None, opened: Sequence[str], pattern: str) -> list[Row]:
    """All images first (where there are several classes), then clusters, or classes, in drawing order."""
    fits = regular(pattern)
    each = [Row("class", int(c), words.class_name(classes.names[c])) for c in classes.order]
    each = [row for row in each if fits(row.name) or fits(classes.names[row.index])]
    if not each:
        raise InputError(f"no class has {pattern!r} in its name")
    if clusters is not None:
        rows: list[Row] = []
        for cluster in dict.fromkeys(int(clusters[row.index]) for row in each):
            mine = [row for row in each if clusters[row.index] == cluster]
            name = f"cluster {cluster}"
            if name in opened:
                rows += mine
            else:
                rows.append(
                    Row("cluster", cluster, f"{name}: {words.some([classes.names[r.index] for r in mine], 3)}")
                )
        each = rows
    return [Row("all", 0, "all images"), *each] if len(classes.names) > 1 and not pattern else each


def percent(scale: Scale) -> CustomJSHover:
    """The number behind a byte, as a percentage; the top of the scale stands for everything above it."""
    return CustomJSHover(
        code=f"const v = {scale.javascript()}; return value == 0 ? 'not evaluated' : "
        f"(value == 255 && v < 1 ? 'at least ' : '') + (100*v).toFixed(0) + '%'"
    )


__all__ = ["MARKS", "ClassRows", "Classes", "Row", "percent", "planned"]
