"""The explorer of one run: ranked events, the band over the whole training, and the views, linked by one state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import panel as pn
from bokeh.events import Tap
from bokeh.models import Div

from deeptracker.app.address import follow
from deeptracker.app.chips import Chips
from deeptracker.app.context import Section, context
from deeptracker.app.event_list import cards_of, event_list
from deeptracker.app.sections.classes import ClassesSection
from deeptracker.app.sections.cube import CubeSection
from deeptracker.app.sections.event import EventSection
from deeptracker.app.sections.filters import FiltersSection
from deeptracker.app.sections.images import ImagesSection
from deeptracker.app.sections.layers import LayersSection
from deeptracker.app.sections.scalars import ScalarsSection
from deeptracker.view import palettes
from deeptracker.view.answers.flips import class_of
from deeptracker.view.event.events import around
from deeptracker.view.frame import head_html
from deeptracker.view.heading import FULL
from deeptracker.view.overview import overview

SETTLED = 200
"""Milliseconds that a range has to stand still before it is selected."""
SECTIONS: tuple[type[Section], ...] = (
    EventSection, LayersSection, ClassesSection, ScalarsSection, FiltersSection, ImagesSection, CubeSection,
)  # fmt: skip


class Explorer:
    """One session's page on a run. Sections follow ``context.state``, and change it; this links the rest.

    Parameters
    ----------
    run : an opened run; parts that it lacks are replaced by a note on what brings them.
    arguments : of the request: the state that its address names.
    """

    def __init__(self, run: Any, arguments: Mapping[str, Sequence[bytes]] | None = None) -> None:
        self.run, self.context = run, context(run)
        self.state, self.timeline = self.context.state, self.context.timeline
        self.address, left_out = follow(self.state, arguments or {}, self.context.known)
        if self.state.event and not (self.state.layers or self.state.classes or self.state.start is not None):
            self.select_event(self.state.event)  # an address that names an event only
        self.list = event_list(run)
        self.list.selected = self.state.event
        self.chips = Chips(self.state, self.context.events, sizing_mode="stretch_width", margin=(2, 0, 0, 0))
        self.band = overview(run, self.timeline)
        self.sections = [section(self.context) for section in SECTIONS]
        # What there is comes first; what is missing is said after it.
        ordered = sorted((s for s in self.sections if s.parts), key=lambda section: not section.there)
        self.views = pn.Column(*(s.column() for s in ordered), sizing_mode="stretch_width", margin=0)
        self._waiting = False
        self._link()
        self._show_event(self.state.event)
        self._show_range()
        if left_out:
            self.chips.said = f"Not in this run, left out: {', '.join(left_out[:4])}"

    def _link(self) -> None:
        self.state.param.watch(lambda change: self._show_event(change.new), "event")
        self.state.param.watch(lambda *_: self._show_range(), ["start", "stop"])
        self.state.param.watch(lambda change: self.list.param.update(selected=change.new), "event")
        self.list.param.watch(lambda change: self.open_event(change.new), "selected")
        self.context.listeners.append(lambda: self.list.param.update(cards=cards_of(self.run)))
        self.band.lane.on_event(Tap, self._tap_mark)
        for edge in ("start", "end"):
            self.timeline.x_range.on_change(edge, self._moved)

    def open_event(self, rank: int) -> None:
        """Select an event and what it names; 0, or the open one, closes it."""
        if rank != self.state.event:
            self.select_event(rank)

    def select_event(self, rank: int) -> None:
        """Select an event, its iterations, layer, filters and class; nothing where there is no such event."""
        event = self.context.events.get(rank)
        if event is None:
            self.state.clear()
            return
        start, stop = self._within(*around(self.run, event))
        layers = [name for name in map(str, event.get("layers") or ()) if name in self.context.known["layers"]][:1]
        filters = [f"{f['layer']}:{int(f['channel'])}" for f in event.get("filters") or () if [f["layer"]] == layers]
        label = class_of(self.run, self.context.view, event) if self.context.view is not None else None
        classes = [label] if label is not None else []
        self.state.param.update(
            event=rank, start=start, stop=stop, layers=layers, filters=filters[:1], classes=classes, images=[]
        )

    def _within(self, start: float, stop: float) -> tuple[float, float]:
        return max(self.timeline.full[0], start), min(self.timeline.full[1], stop)

    def _show_event(self, rank: int) -> None:
        """Mark an event in every figure."""
        event = self.context.events.get(rank)
        marks = self.band.marks.data
        colours = [palettes.SELECTED if r == str(rank) else palettes.INK for r in marks["rank"]]
        self.band.marks.patch({"fill": [(slice(len(colours)), colours)]})
        if event is None:
            self.timeline.selection.data = {"x0": [], "x1": []}
        else:
            onset = int(event["iteration"])
            self.timeline.select(onset, max(int(event.get("end") or onset), onset))

    def _show_range(self) -> None:
        """Move every figure to the selected iterations."""
        start, stop = self.state.start, self.state.stop
        wanted = self.timeline.full if start is None or stop is None else self._within(start, stop)
        if wanted != (self.timeline.x_range.start, self.timeline.x_range.end):
            self.timeline.show(*wanted)

    def _moved(self, attr: str, old: Any, new: Any) -> None:
        """A drag or a zoom in the browser becomes the selection once it stands still."""
        document = self.timeline.x_range.document
        if not self._waiting and document is not None:
            self._waiting = True
            document.add_timeout_callback(self._moved_to, SETTLED)

    def _moved_to(self) -> None:
        self._waiting = False
        start, stop = self.timeline.x_range.start, self.timeline.x_range.end
        if (start, stop) == self.timeline.full:
            start = stop = None
        self.state.param.update(start=start, stop=stop)

    def _tap_mark(self, tap: Any) -> None:
        reach = (self.timeline.full[1] - self.timeline.full[0]) * 0.02
        near = [(abs(int(e["iteration"]) - tap.x), rank) for rank, e in self.context.events.items()]
        if near and min(near)[0] <= reach:
            self.open_event(min(near)[1])

    def head(self) -> Div:
        """The run's name and its size, in one line."""
        return Div(text=head_html(self.run), sizing_mode="stretch_width", margin=0, stylesheets=[FULL])
