"""One statistic of a layer against another, as a path through the training."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure
from numpy.typing import NDArray

from deeptracker.screen import read, sizes, units, variables
from deeptracker.view import palettes, words
from deeptracker.view.places import Place, short
from deeptracker.view.scale import Scale
from deeptracker.view.timeline import FONT, SMALL, plain

GROUP = "layers/dense"
POINTS = 400
HEIGHT = 220
MOST = 4
TIME = Scale(
    "value", 0.0, 1.0, "time, from the beginning to the end of what is shown", ((0.0, "first"), (1.0, "last"))
)


def choices(run: Any) -> list[str]:
    """Statistics of layers that can be set against one another."""
    if not sizes(run, GROUP).get("iteration"):
        return []
    return [name for name, dims in variables(run, GROUP).items() if dims == ("iteration", "layer")]


class Trajectory:
    """A figure of one layer: its records at (``across``, ``up``), from light to dark; axes are logarithmic for sizes.

    ``show`` puts other records into it and says whether they fit its kinds of axes; where they do not, make another.
    """

    def __init__(
        self, run: Any, place: Place, across: str, up: str, start: float | None = None, stop: float | None = None
    ) -> None:
        self.run = run
        self.source = ColumnDataSource({"x": [], "y": [], "at": [], "colour": []})
        records = self._records(place, across, up, start, stop)
        self.kinds = _kinds(records)
        plot = self.plot = plain(
            figure(
                frame_height=HEIGHT, sizing_mode="stretch_width", tools="box_zoom,reset,pan", toolbar_location=None,
                x_axis_type=self.kinds[0], y_axis_type=self.kinds[1], title="", min_border_left=64,
                border_fill_color=palettes.PAPER, outline_line_color=palettes.FAINT, lod_timeout=60,
            )
        )  # fmt: skip
        plot.line("x", "y", source=self.source, line_color=palettes.FAINT, line_width=1)
        dots = plot.scatter("x", "y", source=self.source, size=5, fill_color="colour", line_color=None)
        for axis in (plot.xaxis, plot.yaxis):
            axis.axis_label_text_font, axis.major_label_text_font_size = FONT, SMALL
        self.hover = HoverTool(renderers=[dots])
        plot.add_tools(self.hover)
        self._put(place, across, up, records)

    def show(self, place: Place, across: str, up: str, start: float | None, stop: float | None) -> bool:
        """Draw other records; False, and nothing is changed, where their axes are of another kind."""
        records = self._records(place, across, up, start, stop)
        if _kinds(records) != self.kinds:
            return False
        self._put(place, across, up, records)
        return True

    def _records(self, place: Place, across: str, up: str, start: float | None, stop: float | None) -> NDArray[Any]:
        """(3, record): x, y and iteration where both are numbers."""
        select = {"layer": place.along("layer")}
        data = read(self.run, GROUP, [across, up], start, stop, POINTS // 4, select=select, reductions=["mean"])
        x, y = (np.asarray(data[name].values[0, :, 0], dtype=np.float64) for name in (across, up))
        records = np.stack([x, y, np.asarray(data["iteration"].values, dtype=np.float64)])
        return records[:, np.isfinite(x) & np.isfinite(y)]

    def _put(self, place: Place, across: str, up: str, records: NDArray[Any]) -> None:
        x, y, at = records
        colours = TIME.colours_of(0.15 + 0.85 * np.linspace(0, 1, len(at))) if len(at) else []
        self.source.data = {"x": x, "y": y, "at": at, "colour": colours}
        self.plot.title.text = short(place.name, 40)
        for axis, name in ((self.plot.xaxis, across), (self.plot.yaxis, up)):
            axis.axis_label = words.with_unit(name, units(self.run, GROUP, name))
        self.hover.tooltips = [("iteration", "@at{0,0}"), (across, "@x{0.0000a}"), (up, "@y{0.0000a}")]


def _kinds(records: NDArray[Any]) -> tuple[str, str]:
    """Of both axes: logarithmic where all are positive and the largest is more than twenty times the smallest."""

    def kind(values: NDArray[Any]) -> str:
        return "log" if len(values) and 0 < 20 * values.min() < values.max() else "linear"

    return kind(records[0]), kind(records[1])


__all__ = ["MOST", "TIME", "Trajectory", "choices"]
