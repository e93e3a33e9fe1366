"""The page of one event: what the training did around it, the numbers behind it, pictures, and a person's verdict."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
from bokeh.models import Div

from deeptracker.app.context import Context, Section, pane
from deeptracker.app.controls import Controls, buttons, text
from deeptracker.errors import DeepTrackerError
from deeptracker.view import palettes, words
from deeptracker.view.event import batch, course, exhibits
from deeptracker.view.event.cards import page_html
from deeptracker.view.event.events import documents
from deeptracker.view.heading import FULL, heading

PER_ROW = 3
VERDICTS = (("", "not judged"), ("confirmed", "confirmed"), ("dismissed", "dismissed"))


class EventSection(Section):
    """Nothing while no event is open; it is drawn anew for each event that is opened."""

    name, title = "section-event", "Event"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.box = pn.Column(sizing_mode="stretch_width", margin=0)
        self.parts = [self.box]
        self.verdict: Controls | None = None
        self.problem = Div(text="", sizing_mode="stretch_width", stylesheets=[FULL])
        self.state.param.watch(lambda *_: self.context.soon(self._open), "event")
        self._open()

    def _open(self) -> None:
        event = self.context.events.get(self.state.event)
        self.box[:] = self._page(event) if event is not None else []

    def _page(self, event: dict[str, Any]) -> list[Any]:
        usual = "Grey: 98% of the 200 records before. Dashed: the layer's other filters. Red lines: the event."
        shown = [one.expression for one in exhibits.exhibits(self.run, event)]
        title = f"{event['rank']} · {words.cause(event['cause'])}"
        top = heading(title, f"{_place(event)}. {usual}", expression=", ".join(shown))
        plots = [*course.figures(self.run, event, self.timeline), *exhibits.figures(self.run, event, self.timeline)]
        labels = batch.figure_of_labels(self.run, event)
        plots += [labels] if labels is not None else []
        cells = [pane(plot) for plot in plots]
        cells += [pn.Spacer(sizing_mode="stretch_width") for _ in range(-len(cells) % PER_ROW)]
        rows = [
            pn.Row(*cells[i : i + PER_ROW], sizing_mode="stretch_width", margin=0)
            for i in range(0, len(cells), PER_ROW)
        ]
        html = page_html(self.run, event)
        more = [pane(Div(text=html, sizing_mode="stretch_width", stylesheets=[FULL]))] if html else []
        self.problem.text = ""
        return [pn.Row(pane(top), self._judge(event), sizing_mode="stretch_width", margin=0), *rows, *more]

    def _judge(self, event: dict[str, Any]) -> Any:
        """Confirm, dismiss, annotate: kept beside the run."""
        said = event.get("remark") or {}
        self.verdict = Controls(
            fields=[buttons("verdict", VERDICTS, "your verdict"), text("note", "note", "what you found")],
            values={"verdict": said.get("verdict") or "", "note": said.get("note") or ""},
            margin=(12, 0, 4, 10),
        )
        self.verdict.param.watch(lambda change: self._keep(int(event["rank"]), change.new), "values")
        return pn.Column(self.verdict, pane(self.problem), width=560, margin=0)

    def _keep(self, rank: int, said: dict[str, Any]) -> None:
        verdict, note = str(said.get("verdict") or ""), str(said.get("note") or "")
        try:
            self.run.remark(rank, verdict or None, note)
        except (DeepTrackerError, OSError) as error:
            self.problem.text = (
                f"<div style='color:{palettes.LOST};font-size:12px'>Not kept: {escape(str(error))}</div>"
            )
            return
        self.problem.text = ""
        self.context.events.update({int(e["rank"]): e for e in documents(self.run) or [] if e["kind"] != "label"})
        self.context.told()


def _place(event: dict[str, Any]) -> str:
    return f"iteration {words.when(event)} · {words.where(event)}"
