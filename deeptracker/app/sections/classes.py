"""All classes over time."""

from __future__ import annotations

from typing import Any

from bokeh.events import Tap

from deeptracker.app.context import Context, Section, pane
from deeptracker.view import pages
from deeptracker.view.answers.classes import ClassRows
from deeptracker.view.heading import heading


class ClassesSection(Section):
    """A row of heat for each class; a click on one selects it, with shift beside the others."""

    name = "section-classes"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.rows: ClassRows | None = None
        missing = pages.missing_validation(self.run)
        if missing or context.view is None:
            self.say_missing("Classes", pages.VALIDATION, missing)
            return
        self.rows = ClassRows(self.run, context.view, self.timeline)
        top = heading("Classes", f"{pages.VALIDATION} Click one.", [self.rows.scale], pages.class_signs())
        self.parts = [pane(top), pane(self.rows.plot)]
        self.rows.plot.on_event(Tap, self._tap)

    def _tap(self, tap: Any) -> None:
        index = self.rows.class_at(tap.y) if self.rows is not None else None
        if self.rows is not None and index is not None:
            name = self.rows.classes.names[index]
            self.state.add("classes", name, keep=bool(tap.modifiers and tap.modifiers["shift"]))
