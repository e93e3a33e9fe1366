"""The explorer of one run: ranked events, the band over the whole training, and the views, linked by one state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import panel as pn
from bokeh.models import Div

from deeptracker.app.address import addressed
from deeptracker.app.chips import Chips
from deeptracker.app.context import Section, context
from deeptracker.app.event_list import cards_of, event_list
from deeptracker.app.sections.answers import AnswersSection
from deeptracker.app.sections.architecture import ArchitectureSection
from deeptracker.app.sections.band import Band
from deeptracker.app.sections.classes import ClassesSection
from deeptracker.app.sections.cube import CubeSection
from deeptracker.app.sections.event import EventSection
from deeptracker.app.sections.filters import FiltersSection
from deeptracker.app.sections.images import ImagesSection
from deeptracker.app.sections.layers import LayersSection
from deeptracker.app.sections.scalars import ScalarsSection
from deeptracker.app.sections.trajectory import TrajectorySection
from deeptracker.view import pages
from deeptracker.view.frame import head_html
from deeptracker.view.heading import FULL

SETTLED = 200
"""Milliseconds that a range has to stand still before it is selected."""
SECTIONS: tuple[type[Section], ...] = (
    EventSection, LayersSection, ClassesSection, FiltersSection, ImagesSection, AnswersSection, CubeSection,
    TrajectorySection, ScalarsSection, ArchitectureSection,
)  # fmt: skip
LACKING: dict[type[Section], Callable[[Any], str]] = {
    LayersSection: pages.missing_layers, FiltersSection: pages.missing_filters,
    ClassesSection: pages.missing_validation, CubeSection: pages.missing_cube,
}  # fmt: skip
"""What says that a run lacks what a section shows."""
FIRST = 3
"""Sections that are seen when the page opens; the others are made once it is there."""


class Explorer:
    """One session's page on a run. Sections follow ``context.state``, and change it; this links the rest.

    Parameters
    ----------
    run : an opened run; parts that it lacks are replaced by a note on what brings them.
    arguments : of the request: the state that its address names.
    whole : whether all sections are made at once; else ``complete`` makes those that are not seen at first.
    """

    def __init__(
        self, run: Any, arguments: Mapping[str, Sequence[bytes]] | None = None, *, whole: bool = True
    ) -> None:
        self.run, self.context = run, context(run)
        self.state, self.timeline = self.context.state, self.context.timeline
        self._together()
        self.address, left_out = addressed(self.state, arguments or {}, self.context.known)
        if self.state.event and not (self.state.layers or self.state.classes or self.state.start is not None):
            self.context.select_event(self.state.event)  # an address that names an event only
        self.list = event_list(run)
        self.list.selected = self.state.event
        self.chips = Chips(self.state, self.context.events, sizing_mode="stretch_width", margin=(2, 0, 0, 0))
        self.band = Band(self.context)
        # Each section is a root of the page of its own: what changes in one lays out no other anew.
        # What there is comes first; what is missing is said after it.
        ordered = sorted(SECTIONS, key=lambda kind: bool(LACKING.get(kind, lambda _: "")(run)))
        self.views = [pn.Column(sizing_mode="stretch_width", margin=0, name=kind.name) for kind in ordered]
        self.sections: list[Section] = []
        self.head = Div(text="", sizing_mode="stretch_width", margin=0, stylesheets=[FULL])
        for kind in SECTIONS[:FIRST]:
            self._add(kind)
        self._waiting = False
        self._link()
        self._show_range()
        if whole:
            self.complete()
        if left_out:
            self.chips.said = f"Not in this run, left out: {', '.join(left_out[:4])}"

    def _together(self) -> None:
        """What one change of the state brings goes to the browser as one message: it is laid out and drawn once."""
        names = [name for name in self.state.param if name != "name"]
        held: list[Any] = []

        def hold(*changes: Any) -> None:
            document = self.timeline.x_range.document
            if document is not None and document.callbacks.hold_value is None:
                document.hold("combine")
                held.append(document)

        def release(*changes: Any) -> None:
            while held:
                held.pop().unhold()

        self.state.param.watch(hold, names)
        self.state.param.watch(release, names, precedence=1000)

    def _link(self) -> None:
        self.state.param.watch(lambda *_: self._show_range(), ["start", "stop"])
        self.state.param.watch(lambda change: self.list.param.update(selected=change.new), "event")
        self.list.param.watch(lambda change: self.context.open_event(change.new), "selected")
        self.context.listeners.append(lambda: self.list.param.update(cards=cards_of(self.run)))
        for edge in ("start", "end"):
            self.timeline.x_range.on_change(edge, self._moved)

    def _show_range(self) -> None:
        """Move every figure to the selected iterations."""
        start, stop = self.state.start, self.state.stop
        wanted = self.timeline.full if start is None or stop is None else self.context.within(start, stop)
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

    def complete(self, steps: Callable[[Callable[[], None]], object] | None = None) -> None:
        """Make what is not seen at first: marks, and the sections further down.

        Parameters
        ----------
        steps : called with each piece of the work; a server does one after the other, with gestures in between.
        """
        run = steps or (lambda piece: piece())
        for section in self.sections[:FIRST]:
            run(section.complete)
        for kind in SECTIONS[len(self.sections) :]:
            run(partial(self._add, kind))

    def _add(self, kind: type[Section]) -> None:
        """Fill the place of a section, and put it into the links on top."""
        section = kind(self.context)
        self.sections.append(section)
        next(view for view in self.views if view.name == kind.name)[:] = section.parts
        jumps = [(s.name, s.title) for s in self.sections if s.parts and s.title != "Event"]
        self.head.text = head_html(self.run, jumps)
