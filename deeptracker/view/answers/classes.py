"""Classes over time: a row of heat for each class, with the marks of the left and the right rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, LinearColorMapper, Range1d
from numpy.typing import NDArray

from deeptracker.screen import sizes
from deeptracker.screen.answers import Classes, classes_of, error_by_class
from deeptracker.screen.cube import rule_counts
from deeptracker.view import palettes, words
from deeptracker.view.columns import columns
from deeptracker.view.network.layer_values import squeeze
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


def planned(passes: int) -> int:
    """k₀ of the rules: 4% of the passes, at least 2."""
    return max(2, round(0.04 * passes))


class ClassRows:
    """One row a class: share of wrong answers; triangles where many of its images changed their answer at once."""

    def __init__(self, run: Any, view: str, timeline: Timeline | None = None, *, row: float | None = None) -> None:
        self.run, self.view, self.timeline = run, view, timeline or Timeline(run)
        self.classes = classes_of(run, view)
        count = len(self.classes.names)
        passes, share = error_by_class(run, view, self.classes)
        self.scale = share_scale(share, "images of the class answered wrongly")
        height = row or float(np.clip(MOST_PIXELS / max(count, 1), 0.1, 16))
        self.plot = self._plot(passes, share[:, self.classes.order], count, height)
        self.marks = ColumnDataSource(self._marks())
        self._draw_marks(min(height * 0.55, 10))

    def _plot(self, passes: NDArray[np.int64], share: NDArray[np.float32], count: int, height: float) -> Any:
        plot = self.timeline.figure(
            round(max(height * count, 60)), axis=True, y_range=Range1d(0, count), min_border_top=6
        )
        names = [self.classes.names[c] for c in self.classes.order]
        step = max(1, int(np.ceil(14 / height)))
        places = list(range(0, count, step))
        named_rows(plot.yaxis, [count - i - 0.5 for i in places], [short(words.class_name(names[i])) for i in places])
        grid = columns(passes, *self.timeline.full, PIXELS)
        cells = self.scale.encode(squeeze(grid.reduce(share, "max"), MOST_PIXELS))
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
                tooltips=[("class", "$y{custom}"), ("iteration", "$x{0,0}"), ("answered wrongly", "@image{custom}")],
                formatters={"$y": name, "@image": percent(self.scale)},
            )
        )
        plot.segment(
            x0=self.timeline.full[0],
            x1=self.timeline.full[1],
            y0=list(range(1, count if height > 6 else 1)),
            y1=list(range(1, count if height > 6 else 1)),
            line_color=palettes.PAPER,
            line_width=1,
        )
        return plot

    def _marks(self) -> dict[str, list[Any]]:
        """Where the left or the right rule counts many images of a class: position, symbol, words."""
        data: dict[str, list[Any]] = {key: [] for key in ("x", "y", "symbol", "colour", "text", "alarm")}
        passes = sizes(self.run, f"validation/{self.view}")["validation"]
        size = np.diff(self.classes.borders)[np.argsort(self.classes.order)]
        least = np.maximum(LEAST_IMAGES, np.ceil(SHARE_OF_CLASS * size)).astype(np.int64)
        place = np.empty(len(self.classes.names))
        place[self.classes.order] = len(self.classes.names) - np.arange(len(self.classes.names)) - 0.5
        found = rule_counts(self.run, self.view, planned(passes), least, MOST_MARKS)
        k = found.attrs["k"]
        for row in range(found.sizes["mark"]):
            side, gained = str(found["side"].values[row]), found["direction"].values[row] == "gain"
            amount = int(found["images"].values[row])
            data["x"].append(int(found["iteration"].values[row]))
            data["y"].append(float(place[found["class_index"].values[row]]))
            data["symbol"].append(MARKS[side])
            data["colour"].append(palettes.GAIN if gained else palettes.LOST)
            turned = "turned right" if gained else "turned wrong"
            stayed = f"after at least {k} constant passes" if side == "left" else f"and stayed so for {k} passes"
            data["text"].append(f"{words.count(amount, 'image')} {turned} {stayed}")
            data["alarm"].append(amount)
        return data

    def _draw_marks(self, size: float) -> None:
        for symbol, angle, shift in (("◀", np.pi / 2, -1), ("▶", -np.pi / 2, 1)):
            chosen = [i for i, s in enumerate(self.marks.data["symbol"]) if s == symbol]
            if not chosen:
                continue
            source = ColumnDataSource({key: [column[i] for i in chosen] for key, column in self.marks.data.items()})
            glyph = self.plot.scatter(
                "x",
                "y",
                source=source,
                marker="triangle",
                angle=angle,
                size=size,
                fill_color="colour",
                line_color=palettes.PAPER,
                line_width=0.8,
                name=f"marks {shift}",
            )
            self.plot.add_tools(HoverTool(renderers=[glyph], tooltips=[("", "@text"), ("iteration", "@x{0,0}")]))

    def class_at(self, y: float) -> int | None:
        """Position of the class whose row lies at a height of the figure."""
        row = len(self.classes.names) - 1 - int(np.floor(y))
        return int(self.classes.order[row]) if 0 <= row < len(self.classes.names) else None


def percent(scale: Scale) -> CustomJSHover:
    """The number behind a byte, as a percentage; the top of the scale stands for everything above it."""
    return CustomJSHover(
        code=f"const v = {scale.javascript()}; return value == 0 ? 'not evaluated' : "
        f"(value == 255 && v < 1 ? 'at least ' : '') + (100*v).toFixed(0) + '%'"
    )


__all__ = ["MARKS", "ClassRows", "Classes", "percent", "planned"]
