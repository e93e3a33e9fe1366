"""Every validation image over time: a row of pixels each, grouped by class, with the classes' borders and names."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper, Range1d
from numpy.typing import NDArray

from deeptracker.view import palettes, words
from deeptracker.view.answers import classes_of
from deeptracker.view.classes import percent
from deeptracker.view.level import columns
from deeptracker.view.places import short
from deeptracker.view.scale import Scale
from deeptracker.view.timeline import Timeline, named_rows

PIXELS = 1000
BLOCK = 64


class PixelChart:
    """Images × passes. With more images than pixels a row holds neighbours of the same class, never of two."""

    def __init__(self, run: Any, view: str, timeline: Timeline | None = None, *, height: int = 260) -> None:
        self.run, self.view, self.timeline = run, view, timeline or Timeline(run)
        self.classes = classes_of(run, view)
        self.scale = Scale("error", 0.0, 1.0, "answered wrongly", ((0.0, "right"), (1.0, "wrong")))
        self.bins = rows_within(
            [len(self.classes.members(int(c))) for c in self.classes.order], max(height, len(self.classes.order))
        )
        self.plot = self._plot(height)

    def _plot(self, height: int) -> Any:
        passes, cells, grid = self._cells()
        count = len(self.classes.rows)
        plot = self.timeline.figure(height, axis=True, y_range=Range1d(0, max(count, 1)))
        mapper = LinearColorMapper(low=1, high=255, low_color=palettes.MISSING, palette=list(self.scale.colours))
        source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": [], "class": []})
        images: dict[str, list[Any]] = {key: [] for key in source.data}
        start, top, borders, middles, names = 0, float(count), [], [], []
        for index, rows in zip(self.classes.order, self.bins, strict=True):
            members = len(self.classes.members(int(index)))
            if members == 0:
                continue
            block = cells[:, start : start + rows]
            start += rows
            images["image"].append(np.ascontiguousarray(self.scale.encode(block).T[::-1]))
            images["x"].append(grid.left)
            images["y"].append(top - members)
            images["dw"].append(max(grid.width * grid.count, 1e-9))
            images["dh"].append(float(members))
            images["class"].append(self.classes.names[index])
            middles.append(top - members / 2)
            names.append(short(words.class_name(self.classes.names[index])))
            top -= members
            borders.append(top)
        source.data = images
        glyph = plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=mapper, level="image")
        plot.add_tools(
            HoverTool(
                renderers=[glyph],
                tooltips=[("class", "@class"), ("iteration", "$x{0,0}"), ("answered wrongly", "@image{custom}")],
                formatters={"@image": percent(self.scale)},
            )
        )
        tall = height >= 6 * len(names)  # else the borders would hide the classes
        plot.segment(
            x0=self.timeline.full[0],
            x1=self.timeline.full[1],
            y0=borders[:-1] if tall else [],
            y1=borders[:-1] if tall else [],
            line_color=palettes.INK,
            line_alpha=0.5,
            line_width=0.7,
        )
        step = max(1, -(-14 * len(names) // height))
        named_rows(plot.yaxis, middles[::step], names[::step])
        row = "each image a row" if sum(self.bins) == count else f"a row for {count / sum(self.bins):.0f} of a class"
        plot.title.text = f"{words.count(count, 'image')} × {words.count(len(passes), 'pass')}, {row}"
        plot.title.text_font_size, plot.title.text_color = "11px", palettes.MUTED
        return plot

    def _cells(self) -> tuple[NDArray[np.int64], NDArray[np.float32], Any]:
        """(passes, share wrong (columns, pixel rows), columns); answers are read a block of passes at a time."""
        answers = self.run.dataset(f"validation/{self.view}")
        passes = np.asarray(answers["validation"].values, dtype=np.int64)
        grid = columns(passes, *self.timeline.full, PIXELS)
        starts = np.cumsum([0, *(r for r in _sizes(self.bins, self.classes))])
        parts = []
        for start in range(0, len(passes), BLOCK):
            correct = answers["correct"].isel(validation=slice(start, start + BLOCK)).values[:, self.classes.rows]
            known = np.add.reduceat((correct >= 0).astype(np.float32), starts[:-1], axis=1)
            wrong = np.add.reduceat((correct == 0).astype(np.float32), starts[:-1], axis=1)
            parts.append(np.divide(wrong, known, out=np.full_like(wrong, np.nan), where=known > 0))
        share = np.concatenate(parts) if parts else np.zeros((0, len(starts) - 1), np.float32)
        return passes, grid.reduce(share, "mean"), grid


def rows_within(sizes: list[int], rows: int) -> list[int]:
    """Pixel rows for each class: one an image where they fit, else in proportion, at least one for each class."""
    total = sum(sizes)
    if total <= rows * 4:
        return list(sizes)
    return [min(size, max(1, round(size * rows / total))) for size in sizes]


def _sizes(bins: list[int], classes: Any) -> list[int]:
    """Images in each pixel row: a class's images cut into its rows as evenly as whole images allow."""
    sizes: list[int] = []
    for index, rows in zip(classes.order, bins, strict=True):
        members = len(classes.members(int(index)))
        if members:
            edges = np.linspace(0, members, rows + 1).astype(int)
            sizes += np.diff(edges).tolist()
    return sizes
