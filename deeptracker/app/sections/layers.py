"""All layers over time, as strips."""

from __future__ import annotations

from typing import Any

from bokeh.events import Tap

from deeptracker.app.context import BESIDE, Context, Section, pane, titled
from deeptracker.app.controls import bound, buttons, select, words_of
from deeptracker.screen import sizes
from deeptracker.view import pages, words
from deeptracker.view.heading import heading
from deeptracker.view.network.layer_values import told
from deeptracker.view.network.strips import Strips

DELAY = 120
SHOWN = (("change", "what changed"), ("value", "values"))


class LayersSection(Section):
    """Strips of every layer; a click on one selects it, with shift beside the others."""

    name = "section-layers"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.strips: Strips | None = None
        missing = pages.missing_layers(self.run)
        if missing:
            self.say_missing("Layers", pages.LAYERS, missing)
            return
        state = self.state
        self.strips = Strips(self.run, self.timeline, variable=state.statistic or None, show=state.show or None)
        self._waiting = False
        self.opens_filters = not pages.missing_filters(self.run)
        self.heading = heading("Layers", "")
        controls = bound(
            self.state,
            [select("statistic", words_of(told(self.run), words.statistic)), buttons("show", SHOWN)],
            self._usual,
            **BESIDE,
        )
        self._describe()
        self.parts = [titled(self.heading, controls), *(pane(plot) for plot in self.strips.figures)]
        self.state.param.watch(lambda *_: self._redraw(), ["statistic", "show"])
        for plot, (_, members) in zip(self.strips.figures, self.strips.stages, strict=True):
            plot.on_event(Tap, lambda tap, members=members: self._tap(tap, members))
        for edge in ("start", "end"):
            self.timeline.x_range.on_change(edge, self._zoomed)

    def _usual(self, key: str) -> str:
        assert self.strips is not None
        return self.strips.values.variable if key == "statistic" else self.strips.values.show

    def _describe(self) -> None:
        assert self.strips is not None
        opens = " Click a strip to open its filters." if self.opens_filters else ""
        self.heading.text = heading("Layers", f"{pages.layers_text(self.run)}{opens}", [self.strips.scale]).text

    def _redraw(self) -> None:
        if self.strips is None:
            return
        start, end = self.timeline.x_range.start, self.timeline.x_range.end
        self.strips.update(start, end, variable=self.state.statistic or None, show=self.state.show or None)
        self._describe()

    def _tap(self, tap: Any, members: list[Any]) -> None:
        row = len(members) - 1 - int(tap.y // 1)
        if 0 <= row < len(members):
            self.state.add("layers", members[row].name, keep=bool(tap.modifiers and tap.modifiers["shift"]))

    def _zoomed(self, attr: str, old: Any, new: Any) -> None:
        """Read a finer or coarser level once the range has stood still for a moment."""
        document = self.timeline.x_range.document
        assert self.strips is not None
        few = sizes(self.run, self.strips.values.group)["iteration"] <= self.strips.columns
        if self._waiting or few or document is None:
            return
        self._waiting = True
        document.add_timeout_callback(self._refine, DELAY)

    def _refine(self) -> None:
        self._waiting = False
        if self.strips is not None:
            self.strips.update(self.timeline.x_range.start, self.timeline.x_range.end)
