"""The cube: layers, classes and iterations together, unfolded or in projection; a click cuts it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import panel as pn
from bokeh.events import Tap
from bokeh.models import Div

from deeptracker.app.context import BESIDE, Context, Section, pane, titled
from deeptracker.app.controls import bound, buttons
from deeptracker.view import pages
from deeptracker.view.faces import minisets
from deeptracker.view.faces.cabinet import Cabinet
from deeptracker.view.faces.cube import BESIDE_FACE, Cube
from deeptracker.view.faces.cut import Cut
from deeptracker.view.faces.raster import PIXELS
from deeptracker.view.faces.strongest import strongest_html
from deeptracker.view.heading import heading

TITLE = "Layers and classes"
CLICK = "Click a cell or a mini-set to cut the cube there, and everything else with it; chips take the cut back."
DELAY = 120
FORMS = (("net", "unfolded"), ("cabinet", "as a cube"))


class CubeSection(Section):
    """Three faces; the corner tells of the open event. Selected layers, classes and pins cut it."""

    name, title = "section-cube", "Cube"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cube: Cube | None = None
        self.cabinet: Cabinet | None = None
        missing = pages.missing_cube(self.run)
        if missing or context.view is None:
            self.say_missing(TITLE, pages.CUBE, missing)
            return
        self.view = context.view
        self.cube = Cube(self.run, self.view, self.timeline)
        for face, plot in (("top", self.cube.top), ("front", self.cube.front), ("right", self.cube.right)):
            plot.on_event(Tap, partial(self._tap, face))
        controls = bound(self.state, [buttons("form", FORMS)], **BESIDE)
        self.box = pn.Column(sizing_mode="stretch_width", margin=0)
        self.top_filters = Div(text="", sizing_mode="stretch_width")
        text = f"{pages.CUBE} {CLICK}"
        self.parts = [titled(self.head(TITLE, text), controls), self.box, pane(self.top_filters)]
        self._form()
        self._cut()
        self._tell()
        self.state.param.watch(lambda *_: self._form(), "form")
        self.state.param.watch(lambda *_: self.soon(self._tell), "event")
        self.state.param.watch(lambda *_: context.agenda.follow(self.name, self._cut), ["layers", "classes", "pins"])
        self._waiting = False
        if self.cube.blurs():
            for edge in ("start", "end"):
                self.timeline.x_range.on_change(edge, self._zoomed)
            self._refine()

    def expression(self) -> str:
        return f'run.dataset("correlation/validation/{self.view}/front").filters'

    def _form(self) -> None:
        assert self.cube is not None
        if self.state.form == "net":
            self.box[:] = [pane(self.cube.layout)]
            return
        if self.cabinet is None:
            self.cabinet = Cabinet(self.run, self.view, self.cube.faces, self.cube.layers)
            self.cabinet.plot.on_event(Tap, self._tap_cabinet)
        legends = heading("", "", self.cabinet.scales)
        self.box[:] = [pane(legends), pn.pane.Bokeh(self.cabinet.said), pn.pane.Bokeh(self.cabinet.plot)]
        self._cut()

    def _zoomed(self, attr: str, old: Any, new: Any) -> None:
        """Finer or coarser columns once the range has stood still for a moment."""
        document = self.timeline.x_range.document
        if not self._waiting and document is not None:
            self._waiting = True
            document.add_timeout_callback(lambda: self.soon(self._refine), DELAY)

    def _refine(self) -> None:
        assert self.cube is not None
        self._waiting = False
        range_ = self.timeline.x_range
        pixels = max(100, self.context.wide - self.timeline.left - BESIDE_FACE) if self.context.wide else PIXELS
        self.cube.draw(self.cube.columns(range_.start, range_.end, pixels))

    def resized(self) -> None:
        if self.cube is not None and self.cube.blurs():
            self.soon(self._refine)

    def _tell(self) -> None:
        assert self.cube is not None
        event = self.context.events.get(self.state.event)
        if event is not None:
            self.cube.corner.text = self.cube.corner_html(event)

    def _cut(self) -> None:
        """Cut all faces at what is selected."""
        assert self.cube is not None
        layers = [place.name for place in self.cube.layers]
        names, passes = list(self.cube.names), self.cube.faces.passes
        chosen = Cut(
            tuple(layers.index(name) for name in self.state.layers if name in layers),
            tuple(names.index(name) for name in self.state.classes if name in names),
            tuple(sorted({min(int(np.searchsorted(passes, pin)), len(passes) - 1) for pin in self.state.pins})),
        )
        self.cube.cut(chosen)
        if self.cabinet is not None:
            self.cabinet.show_cut(list(chosen.passes), list(chosen.layers), list(chosen.classes))
        self.soon(self._strongest)

    def _strongest(self) -> None:
        self.top_filters.text = strongest_html(self.run, self.state.pins)

    def _tap(self, face: str, tap: Any) -> None:
        """A mini-set: its filters, class and pass; a cell: what its face knows."""
        assert self.cube is not None
        if face == "right":
            tolerant = bool(self.cube.tolerance.active)
            found = minisets.hit(self.cube.drawings[tolerant], tap.x, tap.y)
            if found is not None:
                with self.context.agenda.meant_for(self.name):
                    self.state.param.update(
                        layers=[found["layer"]], classes=[found["class"]], pins=[int(found["iteration"])],
                        filters=[f"{found['layer']}:{channel}" for channel in found["channels"]],
                    )  # fmt: skip
                return
        place, layer, label = self.cube.cell_at(face, tap.x, tap.y)
        self._select(
            None if place is None else int(self.cube.faces.passes[place]),
            None if layer is None else self.cube.layers[layer].name,
            None if label is None else self.cube.names[label],
        )

    def _tap_cabinet(self, tap: Any) -> None:
        found = self.cabinet.read(tap.x, tap.y) if self.cabinet is not None else None
        if found is not None:
            self._select(*found)

    def _select(self, iteration: int | None, layer: str | None, label: str | None) -> None:
        """Cut at what was clicked; what the face does not have is not cut any more."""
        with self.context.agenda.meant_for(self.name):
            self.state.param.update(
                pins=[] if iteration is None else [iteration],
                layers=[] if layer is None else [layer],
                classes=[] if label is None else [label],
                filters=[],
            )
