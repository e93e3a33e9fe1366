"""Every validation image over time: a row of pixels each, grouped by class, with the classes' borders and names."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper, Range1d

from deeptracker.screen import sizes
from deeptracker.screen.answers import classes_of
from deeptracker.screen.image_rows import image_rows
from deeptracker.view import palettes, words
from deeptracker.view.answers.classes import percent
from deeptracker.view.columns import columns
from deeptracker.view.places import short
from deeptracker.view.scale import Scale
from deeptracker.view.timeline import Timeline, named_rows

PIXELS = 1000


class PixelChart:
    """Images × passes. With more images than pixels a row holds neighbours of the same class, never of two."""

    def __init__(self, run: Any, view: str, timeline: Timeline | None = None, *, height: int = 260) -> None:
        self.run, self.view, self.timeline = run, view, timeline or Timeline(run)
        self.classes = classes_of(run, view)
        self.scale = Scale("error", 0.0, 1.0, "answered wrongly", ((0.0, "right"), (1.0, "wrong")))
        self.plot = self._plot(height)

    def _plot(self, height: int) -> Any:
        data = image_rows(self.run, self.view, self.classes, max(height, len(self.classes.order)))
        owner, images_of_row = data["class_index"].values, data["images"].values
        grid = columns(data["validation"].values, *self.timeline.full, PIXELS)
        cells = grid.reduce(data["wrong"].values, "mean")
        count = len(self.classes.rows)
        plot = self.timeline.figure(height, axis=True, y_range=Range1d(0, max(count, 1)))
        mapper = LinearColorMapper(low=1, high=255, low_color=palettes.MISSING, palette=list(self.scale.colours))
        place = np.argsort(self.classes.order)
        source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": [], "class": []})
        images: dict[str, list[Any]] = {key: [] for key in source.data}
        top, borders, middles, names = float(count), [], [], []
        for index in self.classes.order:
            mine = slice(*np.searchsorted(place[owner], [place[index], place[index] + 1]))
            members = int(images_of_row[mine].sum())
            if members == 0:
                continue
            block = cells[:, mine]
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
        drawn = data.sizes["row"]
        row = "each image a row" if drawn == count else f"a row for {count / max(drawn, 1):.0f} of a class"
        row = row if data.attrs["by"] == "image" else "each class a row"
        row += f", mean of {data.attrs['size']} passes" if data.attrs["size"] > 1 else ""
        passes = sizes(self.run, f"validation/{self.view}")["validation"]
        plot.title.text = f"{words.count(count, 'image')} × {words.count(passes, 'pass')}, {row}"
        plot.title.text_font_size, plot.title.text_color = "11px", palettes.MUTED
        return plot
