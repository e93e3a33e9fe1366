"""How a training went around an event: loss, gradient norm and learning rate, before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool

from deeptracker.screen import read, sizes, variables
from deeptracker.view import palettes
from deeptracker.view.columns import curve
from deeptracker.view.event.events import Event
from deeptracker.view.event.panels import PIXELS, Panel, reading, usual_band, visible
from deeptracker.view.timeline import Timeline

SHOWN = (
    ("loss", "training loss", palettes.LOSS),
    ("grad_norm", "norm of the gradient", palettes.VALIDATION_ERROR),
    ("learning_rate", "learning rate", palettes.INK),
)


class Course:
    """One small figure for each of the three that was recorded; ``show`` puts an event into them."""

    def __init__(self, run: Any, timeline: Timeline) -> None:
        there = variables(run, "scalars")
        groups = sizes(run, "scalars").get("param_group", 0) if there else 0
        self.run = run
        self.parts = [
            _Part(run, timeline, name, title, colour)
            for name, title, colour in SHOWN
            if name in there and (name != "learning_rate" or groups)
        ]
        self.plots = [part.plot for part in self.parts]

    def show(self, event: Event) -> None:
        """Draw the numbers around an event; a figure without a number is not visible."""
        for part in self.parts:
            part.plot.visible = part.show(event)


class _Part(Panel):
    def __init__(self, run: Any, timeline: Timeline, name: str, title: str, colour: str) -> None:
        super().__init__(timeline, title)
        self.run, self.name = run, name
        self.source = ColumnDataSource({"x": [], "y": []})
        # A rate holds until the next one; a straight line would draw a slope that never was.
        kind, how = (self.plot.step, {"mode": "after"}) if name == "learning_rate" else (self.plot.line, {})
        line = kind("x", "y", source=self.source, line_color=colour, line_width=1.2, **how)
        tips = [("iteration", "@x{0,0}"), (title, "@y{0.0000a}")]
        self.plot.add_tools(HoverTool(renderers=[line], mode="vline", tooltips=tips))

    def show(self, event: Event) -> bool:
        select = {"param_group": slice(0, 1)} if self.name == "learning_rate" else None
        data = read(
            self.run, "scalars", [self.name], *reading(self.run, event), PIXELS, select=select,
            reductions=["min", "max"],
        )[self.name]  # fmt: skip
        data = data.isel(param_group=0) if "param_group" in data.dims else data
        at, values = curve(data, PIXELS)
        self.source.data = {"x": at, "y": values}
        if self.name != "learning_rate":
            self.usual(*usual_band(values[:, None], at.astype(np.int64), int(event["iteration"])))
        self.fit(values[visible(self.run, event, at)])
        return len(values) > 0


__all__ = ["Course"]
