"""What else was logged: every scalar that the user gave a name, each on its own scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import HoverTool

from deeptracker.schema.recorded import SCALARS
from deeptracker.view import palettes, words
from deeptracker.view.overview import thinned
from deeptracker.view.timeline import Timeline, number_ticks

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
    return [str(n) for n, v in run.dataset("scalars").items() if n not in own and v.dims == ("iteration",)]


class ScalarCurves:
    """One small figure a scalar; points where it was not logged are left out, so its line goes on."""

    def __init__(self, run: Any, timeline: Timeline | None = None) -> None:
        self.timeline = timeline or Timeline(run)
        names = logged(run)
        self.names, self.left_out = names[:MOST], max(0, len(names) - MOST)
        self.figures: list[Any] = []
        if self.names:
            table = run.dataset("scalars")[self.names].load()
            self.figures = [self._figure(table[name], name, name == self.names[-1]) for name in self.names]

    def _figure(self, values: Any, name: str, last: bool) -> Any:
        plot = self.timeline.figure(HEIGHT, axis=last, title=name)
        plot.title.text_font_size = "11px"
        known = np.isfinite(values.values)
        x, y = thinned(values["iteration"].values[known], np.asarray(values.values[known], np.float64))
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
