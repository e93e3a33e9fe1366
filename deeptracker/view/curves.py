"""What else was logged: every scalar that the user gave a name, each on its own scale."""

from __future__ import annotations

from typing import Any

from bokeh.models import HoverTool

from deeptracker.schema.recorded import SCALARS
from deeptracker.screen import read, variables
from deeptracker.view import palettes, words
from deeptracker.view.columns import curve
from deeptracker.view.timeline import Timeline, number_ticks

PIXELS = 900
HEIGHT = 64
MOST = 24
"""Curves that are drawn; a tracker may have logged hundreds."""
FEW = 60
"""Points up to which each one is marked: a single point has no line."""


def logged(run: Any) -> list[str]:
    """Names of the scalars that the data model has no name for, in the order of the store."""
    if not run.has("scalars"):
        return []
    own = {variable.name for variable in SCALARS.variables}
    return [name for name, dims in variables(run, "scalars").items() if name not in own and dims == ("iteration",)]


class ScalarCurves:
    """One small figure a scalar; points where it was not logged are left out, so its line goes on."""

    def __init__(self, run: Any, timeline: Timeline | None = None) -> None:
        self.timeline = timeline or Timeline(run)
        names = logged(run)
        self.names, self.left_out = names[:MOST], max(0, len(names) - MOST)
        self.figures: list[Any] = []
        if self.names:
            data = read(run, "scalars", self.names, pixels=PIXELS)
            self.figures = [self._figure(data[name], name, name == self.names[-1]) for name in self.names]

    def _figure(self, values: Any, name: str, last: bool) -> Any:
        plot = self.timeline.figure(HEIGHT, axis=last, title=name)
        plot.title.text_font_size = "11px"
        x, y = curve(values, PIXELS)
        line = plot.line(x, y, line_color=palettes.LOSS, line_width=1.2)
        if len(x) <= FEW:
            plot.scatter(x, y, size=3, fill_color=palettes.LOSS, line_color=None)
        plot.yaxis.formatter = number_ticks()
        plot.yaxis.ticker.desired_num_ticks = 3
        plot.add_tools(
            HoverTool(renderers=[line], mode="vline", tooltips=[("iteration", "@x{0,0}"), (name, "@y{0.000a}")])
        )
        return plot

    @property
    def text(self) -> str:
        """One line under the heading."""
        text = (
            f"{words.count(len(self.names), 'scalar')} under the names they were logged with, each on its own scale."
        )
        return text if not self.left_out else f"{text} {self.left_out} more: <code>run.scalars</code>."
