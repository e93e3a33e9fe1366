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
from deeptracker.app.order import send
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
from deeptracker.app.sight import Sight
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
"""Sections that are seen when the page opens; on a server the others are made when they come into sight."""
PLACE = 260
"""Pixels that a section holds until it is made."""


class Explorer:
    """One session's page on a run. Sections follow ``context.state``, and change it; this links the rest.

    Parameters
    ----------
    run : an opened run; parts that it lacks are replaced by a note on what brings them.
    arguments : of the request: the state that its address names.
    whole : whether all sections are made at once; else those further down when they come into sight.

    Attributes
    ----------
    later : called with each piece of work that can wait; a server does one after the other, with gestures in between.
    """

    def __init__(
        self, run: Any, arguments: Mapping[str, Sequence[bytes]] | None = None, *, whole: bool = True
    ) -> None:
        self.run, self.context = run, context(run)
        self.later: Callable[[Callable[[], None]], object] = lambda piece: piece()
        self.state, self.timeline = self.context.state, self.context.timeline
        self._together()
        self.address, left_out = addressed(self.state, arguments or {}, self.context.known)
        if self.state.event and not (self.state.layers or self.state.classes or self.state.start is not None):
            self.context.select_event(self.state.event)  # an address that names an event only
        self.list = event_list(run)
        self.list.selected = self.state.event
        self.chips = Chips(self.state, self.context.events, sizing_mode="stretch_width", margin=(2, 0, 0, 0))
        self._show_range()
        self.band = Band(self.context)
        # Each section is a root of the page of its own: what changes in one lays out no other anew.
        # What there is comes first; what is missing is said after it.
        ordered = sorted(SECTIONS, key=lambda kind: bool(LACKING.get(kind, lambda _: "")(run)))
        self.kinds = {kind.name: kind for kind in ordered if kind.offered(self.context)}
        self.views = {name: _place(kind) for name, kind in self.kinds.items()}
        self.sections: list[Section] = []
        self.head = Div(text="", sizing_mode="stretch_width", margin=0, stylesheets=[FULL])
        self.head.text = head_html(
            run, [(n, kind.title) for n, kind in self.kinds.items() if kind is not EventSection]
        )
        first = [kind.name for kind in SECTIONS[:FIRST] if kind.name in self.kinds]
        for name in first:
            self._add(name)
        self.sight = Sight(sections=list(self.kinds), seen=first)
        self._waiting = False
        self._link()
        if whole:
            self.complete()
            for name in self.kinds:
                self._add(name)
        else:
            self.context.agenda.look(first)
            self.sight.param.watch(lambda change: self._look(change.new), "seen")
            self.sight.param.watch(lambda change: self._resized(change.new), "wide")
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
                send(held.pop())

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

    def complete(self) -> None:
        """Make what the first look did not need: marks, for instance."""
        for section in self.sections[:FIRST]:
            self.later(section.complete)

    def _look(self, seen: list[str]) -> None:
        """Make the sections that came into sight, and let those that are made catch up."""
        seen = [name for name in seen if name in self.kinds]
        self.context.agenda.look(seen)
        for name in seen:
            self.later(partial(self._add, name))

    def _resized(self, wide: int) -> None:
        self.context.wide = wide
        for section in self.sections:
            section.resized()

    def _add(self, name: str) -> None:
        """Fill the place of a section, once."""
        if all(section.name != name for section in self.sections):
            section = self.kinds[name](self.context)
            self.sections.append(section)
            self.views[name][:] = section.parts
            self.later(lambda: self.views[name].param.update(min_height=None))


def _place(kind: type[Section]) -> Any:
    """Where a section comes: empty, and as high as needed not to be in sight with all others until it is made."""
    height = None if kind is EventSection else PLACE
    return pn.Column(sizing_mode="stretch_width", margin=0, name=kind.name, min_height=height)
