"""The band on top: the whole training, its events and pins, and how time and loss are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import Div

from deeptracker.app.context import Context
from deeptracker.app.controls import bound, select
from deeptracker.screen import coordinate
from deeptracker.view import palettes
from deeptracker.view.band.overview import overview
from deeptracker.view.heading import copy_button

AXES = {"iteration": "iterations", "epoch": "epochs", "samples": "samples", "time": "time"}
SMOOTH = (("0", "none"), ("0.6", "0.6"), ("0.9", "0.9"), ("0.99", "0.99"))
NEAR = 0.012
"""Share of the run's length within which a click means the event that is marked there."""


class Band:
    """Always visible. A click on a mark opens its event, one beside the marks pins the iteration, or frees it."""

    def __init__(self, context: Context) -> None:
        self.context, self.state, self.timeline = context, context.state, context.timeline
        self.overview = overview(context.run, self.timeline)
        self.layout = self.overview.layout
        kinds = self.timeline.clock.kinds()
        self.controls = bound(
            self.state,
            [
                select("axis", [(kind, AXES[kind]) for kind in kinds], "time in"),
                select("loss", (("log", "logarithmic"), ("linear", "linear")), "loss"),
                select("smooth", SMOOTH, "smoothing", "exponential moving average of the loss"),
            ],
            margin=0,
        )
        self.copy = Div(text=copy_button('run.scalars[["loss", "learning_rate"]]'), margin=(3, 0, 0, 0))
        self.state.param.watch(lambda *_: self._redraw(), ["loss", "smooth"])
        self.state.param.watch(lambda *_: self._count(), "axis")
        self.state.param.watch(lambda *_: self.context.agenda.soon(self._pin), "pins")
        self.state.param.watch(lambda *_: self._mark(), "event")
        self.overview.on_tap(self._tap)
        if (self.state.loss, self.state.smooth) != ("log", "0"):
            self._redraw()
        self._count()
        self._pin()
        self._mark()

    def _redraw(self) -> None:
        self.overview.redraw(scale=self.state.loss, smooth=float(self.state.smooth))

    def _count(self) -> None:
        self.timeline.clock.use(self.state.axis)

    def _pin(self) -> None:
        self.timeline.pin(self.state.pins)

    def _mark(self) -> None:
        """The open event, in every figure."""
        rank, marks = self.state.event, self.overview.marks
        colours = [palettes.SELECTED if r == str(rank) else palettes.INK for r in marks.data["rank"]]
        marks.patch({"fill": [(slice(len(colours)), colours)]})
        event = self.context.events.get(rank)
        if event is None:
            self.timeline.selection.data = {"x0": [], "x1": []}
        else:
            onset = int(event["iteration"])
            self.timeline.select(onset, max(int(event.get("end") or onset), onset))

    def _tap(self, tap: Any) -> None:
        width = self.timeline.full[1] - self.timeline.full[0]
        near = [(abs(int(e["iteration"]) - tap.x), rank) for rank, e in self.context.events.items()]
        if near and min(near)[0] <= NEAR * width and tap.model is self.overview.lane:
            self.context.open_event(min(near)[1])
        else:
            held = [pin for pin in self.state.pins if abs(pin - tap.x) <= NEAR * width / 2]
            self.state.add("pins", held[0] if held else self.nearest(tap.x), keep=True)

    def nearest(self, x: float) -> int:
        """The recorded iteration that lies nearest."""
        run = self.context.run
        for group in ("filters/dense", "scalars"):
            if run.has(group) and len(at := coordinate(run, group, "iteration")):
                return int(at[np.abs(at - x).argmin()])
        return max(0, round(x))


__all__ = ["Band"]
