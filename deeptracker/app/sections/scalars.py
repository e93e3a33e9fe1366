"""Whatever else was logged."""

from __future__ import annotations

from deeptracker.app.context import Context, Section, pane
from deeptracker.view.curves import ScalarCurves, logged
from deeptracker.view.heading import heading


class ScalarsSection(Section):
    """A small figure for each scalar that the user gave a name."""

    name, title = "section-scalars", "Scalars"

    @classmethod
    def offered(cls, context: Context) -> bool:
        return bool(logged(context.run))

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        curves = ScalarCurves(self.run, self.timeline)
        top = heading("Scalars", curves.text, expression=f"run.scalars[{curves.names}]")
        self.parts = [pane(top), *(pane(plot) for plot in curves.figures)]
