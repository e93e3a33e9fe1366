"""The cube: layers, classes and iterations together."""

from __future__ import annotations

from deeptracker.app.context import Context, Section, pane
from deeptracker.view import pages
from deeptracker.view.faces.cube import Cube
from deeptracker.view.heading import heading

TITLE = "Layers and classes"


class CubeSection(Section):
    """Three faces; the corner tells of the open event."""

    name = "section-cube"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cube: Cube | None = None
        missing = pages.missing_cube(self.run)
        if missing or context.view is None:
            self.say_missing(TITLE, pages.CUBE, missing)
            return
        self.cube = Cube(self.run, context.view, self.timeline)
        self.parts = [pane(heading(TITLE, pages.CUBE)), pane(self.cube.layout)]
        self.state.param.watch(lambda *_: self._tell(), "event")

    def _tell(self) -> None:
        assert self.cube is not None
        event = self.context.events.get(self.state.event)
        if event is not None:
            self.cube.corner.text = self.cube.corner_html(event)
