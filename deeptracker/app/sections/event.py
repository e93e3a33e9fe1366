"""The page of one event: what the training did around it, the numbers behind it, pictures, and a person's verdict."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
from bokeh.models import Div

from deeptracker.app.context import HINTS, Context, Section, pane
from deeptracker.app.controls import Controls, buttons, text
from deeptracker.errors import DeepTrackerError
from deeptracker.view import palettes, words
from deeptracker.view.event.cards import page_html
from deeptracker.view.event.events import documents
from deeptracker.view.event.page import USUAL, EventFigures
from deeptracker.view.heading import FULL, heading

VERDICTS = (("", "not judged"), ("confirmed", "confirmed"), ("dismissed", "dismissed"))


class EventSection(Section):
    """Nothing while no event is open. Its figures are made once, and show each event that is opened."""

    name, title = "section-event", "Event"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.box = pn.Column(sizing_mode="stretch_width", margin=0, visible=False)
        self.parts = [self.box]
        self.rank = 0
        self.figures: EventFigures | None = None
        if self.state.event:
            self._open()
        self.state.param.watch(lambda *_: self.context.agenda.soon(self._open), "event")

    def complete(self) -> None:
        if self.figures is None and self.context.events:
            self._make()

    def _make(self) -> None:
        self.figures = EventFigures(self.run, self.timeline)
        self.heading = heading("", "")
        self.pictures = Div(text="", visible=False, sizing_mode="stretch_width", stylesheets=[FULL])
        self.problem = Div(text="", visible=False, sizing_mode="stretch_width", stylesheets=[FULL])
        self.verdict = Controls(
            fields=[buttons("verdict", VERDICTS, "your verdict"), text("note", "note", "what you found")],
            values=_said({}),
            margin=(12, 0, 4, 10),
        )
        self.verdict.param.watch(lambda change: self._keep(change.new), "values")
        judge = pn.Column(self.verdict, pane(self.problem), width=560, margin=0)
        top = pn.Row(pane(self.heading), judge, sizing_mode="stretch_width", margin=0)
        self.box[:] = [top, pane(self.figures.layout), pane(self.pictures)]

    def _open(self) -> None:
        event = self.context.events.get(self.state.event)
        if event is None:
            self.box.visible = False
            return
        if self.figures is None:
            self._make()
        assert self.figures is not None
        self.rank = int(event["rank"])
        shown = ", ".join(one.expression for one in self.figures.show(event))
        title = f"{self.rank} · {words.cause(event['cause'])}"
        self.heading.text = heading(
            title, f"{_place(event)}. {USUAL}", expression=shown, hint=("event", HINTS["event"])
        ).text
        self.verdict.values = _said(event)
        html = page_html(self.run, event)
        self.pictures.update(text=html, visible=bool(html))
        self._complain("")
        self.box.visible = True

    def _keep(self, said: dict[str, Any]) -> None:
        """Keep a verdict and a note beside the run."""
        if said == _said(self.context.events.get(self.rank) or {}):
            return
        try:
            self.run.remark(self.rank, str(said.get("verdict") or "") or None, str(said.get("note") or ""))
        except (DeepTrackerError, OSError) as error:
            self._complain(f"Not kept: {escape(str(error))}")
            return
        self._complain("")
        self.context.events.update({int(e["rank"]): e for e in documents(self.run) or [] if e["kind"] != "label"})
        self.context.told()

    def _complain(self, text: str) -> None:
        said = f"<div style='color:{palettes.LOST};font-size:12px'>{text}</div>" if text else ""
        self.problem.update(text=said, visible=bool(said))


def _said(event: dict[str, Any]) -> dict[str, str]:
    """The verdict and the note that are kept with an event, as the controls hold them."""
    said = event.get("remark") or {}
    return {"verdict": said.get("verdict") or "", "note": said.get("note") or ""}


def _place(event: dict[str, Any]) -> str:
    return f"iteration {words.when(event)} · {escape(words.where(event))}"
