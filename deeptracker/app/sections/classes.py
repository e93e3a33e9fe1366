"""All classes over time: in which order, as classes or clusters, of which names."""

from __future__ import annotations

from typing import Any

import panel as pn
from bokeh.events import Tap

from deeptracker.app.context import Context, Section, pane
from deeptracker.app.controls import bound, select, text
from deeptracker.errors import InputError
from deeptracker.screen.ordering import ORDERS
from deeptracker.view import pages, words
from deeptracker.view.answers.classes import ClassRows
from deeptracker.view.heading import heading

GROUPED = (("class", "classes"), ("cluster", "clusters"))


class ClassesSection(Section):
    """A row of heat for each class; a click on one selects it (shift: beside the others), on a cluster opens it."""

    name, title = "section-classes", "Classes"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.rows: ClassRows | None = None
        missing = pages.missing_validation(self.run)
        if missing or context.view is None:
            self.say_missing("Classes", pages.VALIDATION, missing)
            return
        self.view = context.view
        self.heading = heading("Classes", "")
        self.box = pn.Column(sizing_mode="stretch_width", margin=0)
        self.rows = self._build(marks=False)
        fields = [select("order", list(ORDERS.items()), "classes")]
        if self.rows.clusters is not None:
            fields.append(select("grouped", GROUPED, "rows are"))
        fields.append(text("among", "only", "cat|dog", "a regular expression: classes whose names it is found in"))
        controls = bound(self.state, fields, margin=(4, 0, 4, 0), start=True)
        several = len(self.rows.classes.names) > 1
        self.parts = [pane(self.heading), *([controls] if several else []), self.box]
        self.state.param.watch(lambda *_: self._build(), ["order", "grouped", "among", "opened"])

    def complete(self) -> None:
        """The marks, once the page is there."""
        if self.rows is not None and not self.rows.marks.data:
            self.rows.add_marks()

    def _build(self, *, marks: bool = True) -> ClassRows:
        state, problem = self.state, ""
        try:
            rows = ClassRows(
                self.run, self.view, self.timeline, order=state.order, level=state.grouped, opened=state.opened,
                pattern=state.among, marks=marks,
            )  # fmt: skip
        except InputError as error:
            problem = f" <b>{words.html(str(error))}</b>"
            rows = ClassRows(self.run, self.view, self.timeline, marks=marks)
        clicks = "Click a cluster to open it." if state.grouped == "cluster" else "Click one."
        said = f"{pages.VALIDATION} {clicks}{problem}"
        self.heading.text = self.head("Classes", said, [rows.scale], pages.class_signs()).text
        rows.plot.on_event(Tap, self._tap)
        self.box[:] = [pane(rows.plot)]
        self.rows = rows
        return rows

    def expression(self) -> str:
        group = f"index/validation/{self.view}/classes"
        return (
            f'1 - run.dataset("{group}").accuracy'
            if self.run.has(group)
            else f'run.dataset("validation/{self.view}").correct'
        )

    def _tap(self, tap: Any) -> None:
        row = self.rows.row_at(tap.y) if self.rows is not None else None
        if self.rows is None or row is None or row.kind == "all":
            return
        if row.kind == "cluster":
            self.state.add("opened", f"cluster {row.index}", keep=True)
        else:
            name = self.rows.classes.names[row.index]
            self.state.add("classes", name, keep=bool(tap.modifiers and tap.modifiers["shift"]))
