"""All layers over time: at which level, as what, of which names."""

from __future__ import annotations

from typing import Any

import panel as pn
from bokeh.events import Tap

from deeptracker.app.context import Context, Section, pane
from deeptracker.app.controls import bound, buttons, select, text, words_of
from deeptracker.errors import InputError
from deeptracker.screen import sizes
from deeptracker.view import pages, words
from deeptracker.view.heading import heading
from deeptracker.view.network.layer_values import opening, told
from deeptracker.view.network.looks import LOOKS, NORMALS, looks_of
from deeptracker.view.network.strips import Strips
from deeptracker.view.places import levels_of

DELAY = 120
SHOWN = (("change", "what changed"), ("value", "values"))
LEVELS = {"layer": "layers", "block": "blocks", "stage": "stages"}
REBUILD = ("look", "level", "opened", "only", "scale")


class LayersSection(Section):
    """Rows of every layer, block or stage; a click on a layer selects it (shift: beside the others), one on a block
    or a stage opens it.
    """

    name, title = "section-layers", "Layers"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.strips: Strips | None = None
        missing = pages.missing_layers(self.run)
        if missing:
            self.say_missing("Layers", pages.LAYERS, missing)
            return
        self._waiting = False
        self.opens_filters = not pages.missing_filters(self.run)
        self.heading = heading("Layers", "")
        self.box = pn.Column(sizing_mode="stretch_width", margin=0)
        self._build()
        self.parts = [pane(self.heading), self._controls(), self.box]
        self.state.param.watch(lambda *_: self._redraw(), ["statistic", "show"])
        self.state.param.watch(lambda *_: self._build(), list(REBUILD))
        for edge in ("start", "end"):
            self.timeline.x_range.on_change(edge, self._zoomed)

    def _controls(self) -> Any:
        fields = [select("statistic", words_of(told(self.run), words.statistic)), buttons("show", SHOWN)]
        fields += [
            select("look", [(name, LOOKS[name]) for name in looks_of(self.run)], "as"),
            select("level", [(name, LEVELS[name]) for name in levels_of(self.run)], "rows are"),
            select("scale", list(NORMALS.items()), "", "of values; changes are always on one scale"),
            text("only", "only", "layer3|fc", "a regular expression: rows whose names it is found in"),
        ]
        return bound(self.state, fields, self._usual, margin=(4, 0, 4, 0), start=True)

    def _build(self) -> None:
        """Other rows: figures are made anew."""
        state = self.state
        problem = ""
        given: dict[str, Any] = {
            "variable": state.statistic or None, "show": state.show or None, "shape": state.look,
            "level": state.level, "opened": state.opened, "normal": state.scale,
        }  # fmt: skip
        try:
            self.strips = Strips(self.run, self.timeline, pattern=state.only, **given)
        except InputError as error:
            problem = str(error)
            self.strips = Strips(self.run, self.timeline)
        for plot, (_, members) in zip(self.strips.figures, self.strips.stages, strict=True):
            plot.on_event(Tap, lambda tap, members=members: self._tap(tap, members))
        self.box[:] = [pane(plot) for plot in self.strips.figures]
        self._describe(problem)
        if (state.start, state.stop) != (None, None):
            self._refine()

    def _usual(self, key: str) -> Any:
        assert self.strips is not None
        if key not in ("statistic", "show"):
            return None
        best, usual = opening(self.run)
        if hasattr(self.strips.look, "values"):
            best, usual = self.strips.values.variable, self.strips.values.show
        return best if key == "statistic" else usual

    def _describe(self, problem: str = "") -> None:
        assert self.strips is not None
        opens = " Click a strip to open its filters." if self.opens_filters else ""
        said = pages.layers_text(self.run) if self.strips.shape == "strips" else self.strips.look.said
        opens = " Click a row to open it." if self.state.level != "layer" else opens
        told_ = f" <b>{words.html(problem)}</b>" if problem else ""
        self.heading.text = self.head("Layers", f"{said}{opens}{told_}", [self.strips.scale]).text

    def expression(self) -> str:
        return self.strips.expression() if self.strips is not None else ""

    def _redraw(self) -> None:
        if self.strips is None:
            return
        start, end = self.timeline.x_range.start, self.timeline.x_range.end
        self.strips.update(start, end, variable=self.state.statistic or None, show=self.state.show or None)
        self._describe()

    def _tap(self, tap: Any, members: list[Any]) -> None:
        row = len(members) - 1 - int(tap.y // 1)
        if not 0 <= row < len(members):
            return
        keep = bool(tap.modifiers and tap.modifiers["shift"])
        if members[row].level == "layer":
            with self.context.agenda.meant_for("section-filters"):
                self.state.add("layers", members[row].name, keep=keep)
        else:
            self.state.add("opened", members[row].name, keep=True)

    def _zoomed(self, attr: str, old: Any, new: Any) -> None:
        """Read a finer or coarser level once the range has stood still for a moment."""
        document = self.timeline.x_range.document
        assert self.strips is not None
        few = sizes(self.run, self.strips.group)["iteration"] <= self.strips.columns
        if self._waiting or few or document is None:
            return
        self._waiting = True
        document.add_timeout_callback(self._refine, DELAY)

    def _refine(self) -> None:
        self._waiting = False
        if self.strips is None:
            return
        strips, range_ = self.strips, (self.timeline.x_range.start, self.timeline.x_range.end)

        def put(rows: Any) -> None:
            if strips is self.strips and range_ == (self.timeline.x_range.start, self.timeline.x_range.end):
                strips.put(rows)
                self._describe()

        self.context.agenda.aside(lambda: strips.rows(*range_), put)
