"""The net itself, as a graph and as a tree."""

from __future__ import annotations

from typing import Any

from bokeh.events import Tap

from deeptracker.app.context import Context, Section, pane
from deeptracker.app.tree import Tree
from deeptracker.view import pages
from deeptracker.view.network import architecture

TEXT = "What feeds what, from left to right, and what each layer is. Click a layer to select it."


class ArchitectureSection(Section):
    """A click on a box or a line selects a layer, with shift beside the others."""

    name, title = "section-architecture", "Net"

    @classmethod
    def offered(cls, context: Context) -> bool:
        return not pages.missing_layers(context.run)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.graph = architecture.graph(self.run)
        self.tree = Tree(self.state, architecture.rows(self.run), sizing_mode="stretch_width", margin=(4, 0, 8, 0))
        self.parts = [pane(self.head("Architecture", TEXT)), pane(self.graph), self.tree]
        self.graph.on_event(Tap, self._tap)

    def expression(self) -> str:
        return "run.architecture"

    def _tap(self, tap: Any) -> None:
        name = architecture.layer_at(self.graph, tap.x, tap.y)
        if name is not None:
            self.state.add("layers", name, keep=bool(tap.modifiers and tap.modifiers["shift"]))
