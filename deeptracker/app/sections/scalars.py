"""Whatever else was logged."""

from __future__ import annotations

from deeptracker.app.context import Context, Section, pane
from deeptracker.view.curves import ScalarCurves
from deeptracker.view.heading import heading


class ScalarsSection(Section):
    """A small figure for each scalar that the user gave a name."""

    name = "section-scalars"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        curves = ScalarCurves(self.run, self.timeline)
        if curves.figures:
            self.parts = [pane(heading("Scalars", curves.text)), *(pane(plot) for plot in curves.figures)]
