"""The figures of an event's page: how the training went, what the evidence names, what the batches held."""

from __future__ import annotations

from typing import Any

from bokeh.layouts import column
from bokeh.models import InlineStyleSheet

from deeptracker.view.event.batch import Labels
from deeptracker.view.event.course import Course
from deeptracker.view.event.events import Event
from deeptracker.view.event.exhibits import Exhibit, Exhibits
from deeptracker.view.timeline import Timeline

USUAL = "Grey: 98% of the 200 records before. Dashed: the layer's other filters. Red lines: the event."
NARROWEST = 300
"""Pixels of a figure; where three do not fit side by side there are two or one in a row."""


class EventFigures:
    """Made once and shown anew for each event, so that opening one changes numbers, not the layout of the page.

    Attributes
    ----------
    layout : the figures that are visible, three in a row where there is room.
    """

    def __init__(self, run: Any, timeline: Timeline) -> None:
        self.course, self.exhibits, self.labels = Course(run, timeline), Exhibits(run, timeline), Labels(run)
        plots = [*self.course.plots, *self.exhibits.plots, self.labels.plot]
        for plot in plots:
            plot.visible = False
        columns = f"repeat(auto-fill, minmax(max({NARROWEST}px, 32%), 1fr))"
        grid = InlineStyleSheet(css=f":host {{ display: grid; grid-template-columns: {columns} }}")
        self.layout = column(*plots, sizing_mode="stretch_width", spacing=0, stylesheets=[grid])

    def show(self, event: Event) -> list[Exhibit]:
        """Put an event into the figures; what its evidence names."""
        self.course.show(event)
        self.labels.show(event)
        return self.exhibits.show(event)


__all__ = ["USUAL", "EventFigures"]
