"""What the sections of one page share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import Div

from deeptracker.app.agenda import Agenda
from deeptracker.app.state import State
from deeptracker.screen import coordinate
from deeptracker.screen.answers import class_names, first_set
from deeptracker.view.answers.flips import class_of
from deeptracker.view.event.events import Event, anomalies, around
from deeptracker.view.heading import heading, note
from deeptracker.view.network import shares, trajectory
from deeptracker.view.network.layer_values import told
from deeptracker.view.places import layers_of
from deeptracker.view.timeline import Timeline

BESIDE: dict[str, Any] = {"margin": (12, 0, 4, 10), "align": "end"}
"""Where controls stand beside a heading."""


@dataclass
class Context:
    """An opened run, what is selected of it, the time axis, the work to do, and the names that an address may use."""

    run: Any
    state: State
    timeline: Timeline
    agenda: Agenda
    events: dict[int, Event]
    view: str | None
    wide: int = 0
    """Pixels of the screen from left to right of a section; 0 until a browser tells."""
    known: dict[str, list[str]] = field(default_factory=dict)
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def open_event(self, rank: int) -> None:
        """Select an event and what it names; 0, or the open one, closes it."""
        if rank != self.state.event:
            self.select_event(rank)

    def select_event(self, rank: int) -> None:
        """Select an event, its iterations, layer, filter and class; nothing where there is no such event."""
        event = self.events.get(rank)
        if event is None:
            self.state.clear()
            return
        start, stop = self.within(*around(self.run, event))
        layers = [name for name in map(str, event.get("layers") or ()) if name in self.known["layers"]][:1]
        filters = [f"{f['layer']}:{int(f['channel'])}" for f in event.get("filters") or () if [f["layer"]] == layers]
        label = class_of(self.run, self.view, event) if self.view is not None else None
        with self.agenda.meant_for("section-event"):
            self.state.param.update(
                event=rank, start=start, stop=stop, layers=layers, filters=filters[:1],
                classes=[label] if label is not None else [], images=[],
            )  # fmt: skip

    def pass_after(self, iteration: int) -> int:
        """The first validation pass at or after an iteration; the last one where there is none."""
        at = coordinate(self.run, f"validation/{self.view}", "validation")
        return int(at[min(int(np.searchsorted(at, iteration)), len(at) - 1)])

    def within(self, start: float, stop: float) -> tuple[float, float]:
        """A range of iterations, cut to the run."""
        return max(self.timeline.full[0], start), min(self.timeline.full[1], stop)

    def told(self) -> None:
        """Say that a person's verdict on an event has changed."""
        for listener in self.listeners:
            listener()


def context(run: Any) -> Context:
    """Everything that the sections of a page on ``run`` need."""
    view = first_set(run)
    pair, parts = trajectory.choices(run), shares.choices(run)
    known = {"layers": [], "classes": [], "statistic": [], "across": pair, "up": pair, "share": parts}
    if run.has("architecture"):
        known["layers"] = [place.name for place in layers_of(run)]
    if run.has("filters/dense") or run.has("layers/dense"):
        known["statistic"] = list(told(run))
    if view is not None:
        known["classes"] = list(class_names(run, view, 0))
    events = {int(e["rank"]): e for e in anomalies(run)}
    timeline = Timeline(run)
    return Context(run, State(), timeline, Agenda(timeline.x_range), events, view, known=known)


HINTS = {
    "event": "Look whether a line leaves its grey band at the red lines, and which pictures turned. Then judge it.",
    "layers": "Pale is usual, colour is not: look for columns (everything changed at once) and for single rows.",
    "classes": "Dark: many images of the class are answered wrongly. Triangles: passes at which many turned at once.",
    "filters": "Blue: smaller than this filter usually is. Red: larger. Click a row to see its numbers below.",
    "images": "Rows that are dark from the beginning are hard images; dark stretches are images that were forgotten.",
    "answers": "A peak of L is an abrupt change after calm; a peak of R is a change that lasted.",
    "cube": "Top: classes over time. Front: layers over time. Side: layers that were abnormal together with classes.",
    "architecture": "Where two lines meet, tensors are added or joined. The tree below tells kinds and sizes.",
    "trajectory": "Paths go from light to dark. A kink is a change of regime: a learning-rate step, a fault.",
}


class Section:
    """A part of the page: ``parts`` from top to bottom; ``there`` says whether the run has what it shows."""

    name = ""
    title = ""
    """As the links on top of the page call it."""

    @classmethod
    def offered(cls, context: Context) -> bool:
        """Whether a run has anything for it; what else it lacks, the section says itself."""
        return True

    def __init__(self, context: Context) -> None:
        self.context, self.run = context, context.run
        self.state, self.timeline = context.state, context.timeline
        self.parts: list[Any] = []

    def soon(self, work: Callable[[], None]) -> None:
        """Do what a change of the state brings to this section, once that is seen."""
        self.context.agenda.soon(work, self.name)

    def complete(self) -> None:
        """What can wait until the page is there."""

    def resized(self) -> None:
        """Draw as many columns as the page has pixels now."""

    def head(self, title: str, text: str, scales: Sequence[Any] = (), signs: Sequence[str] = ()) -> Div:
        """The heading of the section, with what a first visit should know and the expression behind the chart."""
        name = self.name.removeprefix("section-")
        hint = (name, HINTS[name]) if name in HINTS else None
        return heading(title, text, scales, signs, expression=self.expression(), hint=hint)

    def expression(self) -> str:
        """xarray over ``run`` that gives the numbers of the chart as it is now."""
        return ""

    def say_missing(self, title: str, text: str, missing: str) -> None:
        """In place of figures: what is missing, and what brings it."""
        self.there = False
        self.parts = [pane(heading(title, text)), pane(note(missing))]


def pane(model: Any) -> Any:
    """A Bokeh model as a part of a page."""
    return pn.pane.Bokeh(model, sizing_mode="stretch_width", margin=0)


def titled(head: Any, controls: Any) -> Any:
    """A heading with its controls at the right."""
    return pn.Row(pane(head), controls, sizing_mode="stretch_width", margin=0)


__all__ = ["BESIDE", "Context", "Section", "context", "pane", "titled"]
