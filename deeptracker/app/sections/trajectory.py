"""One statistic against another, and which layers a quantity lies in."""

from __future__ import annotations

from typing import Any

import panel as pn

from deeptracker.app.context import BESIDE, Context, Section, pane, titled
from deeptracker.app.controls import bound, select, words_of
from deeptracker.view import pages, words
from deeptracker.view.heading import heading
from deeptracker.view.network import shares, trajectory
from deeptracker.view.places import layers_of

TEXT = "Each selected layer as a path: how two of its statistics went together. Shift-click strips to select several."
SHARES = "How much of the whole lies in which layer, the first on top; tints are stages."
PAIR = ("w_norm2", "update_norm2")


class TrajectorySection(Section):
    """Paths of the selected layers over the iterations that are shown; under them shares over the whole run."""

    name, title = "section-trajectory", "Paths"

    @classmethod
    def offered(cls, context: Context) -> bool:
        return len(context.known["across"]) > 1 and not pages.missing_layers(context.run)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        names = self.names = context.known["across"]
        self.places = {place.name: place for place in layers_of(self.run)}
        options = words_of(names, words.statistic)
        controls = bound(
            self.state, [select("across", options, "across"), select("up", options, "up")], self._usual, **BESIDE
        )
        self.paths = pn.Row(sizing_mode="stretch_width", margin=0)
        self.figures: list[trajectory.Trajectory] = []
        self.chosen: list[str] = []
        self.heading = heading("Trajectories", TEXT)
        self.parts = [titled(self.heading, controls), self.paths]
        self._draw()
        self.state.param.watch(lambda *_: self.soon(self._draw), ["layers", "across", "up", "start", "stop"])
        self._shares()

    def _usual(self, key: str) -> str:
        wanted = PAIR[0] if key == "across" else PAIR[1]
        return wanted if wanted in self.names else self.names[key == "up"]

    def _draw(self) -> None:
        chosen = [self.places[name] for name in self.state.layers if name in self.places]
        if not chosen:
            first = pages.suspect(self.run)
            chosen = [self.places[first]] if first in self.places else list(self.places.values())[:1]
        across, up = (
            value if (value := getattr(self.state, key)) in self.names else self._usual(key)
            for key in ("across", "up")
        )
        self.chosen = [place.name for place in chosen[-trajectory.MOST :]]
        self.pair = (across, up)
        self.heading.text = self.head("Trajectories", TEXT, [trajectory.TIME]).text
        shown = [(place, across, up, self.state.start, self.state.stop) for place in chosen[-trajectory.MOST :]]
        if len(shown) == len(self.figures) and all(f.show(*one) for f, one in zip(self.figures, shown, strict=True)):
            return
        self.figures = [trajectory.Trajectory(self.run, *one) for one in shown]
        self.paths[:] = [pane(one.plot) for one in self.figures]

    def expression(self) -> str:
        return f"run.layers[{list(self.pair)}].sel(layer={self.chosen})"

    def _shares(self) -> None:
        choices = self.context.known["share"]
        if not choices:
            return
        self.stack = pn.Column(sizing_mode="stretch_width", margin=0)
        controls = bound(
            self.state, [select("share", [(n, shares.ADDITIVE[n]) for n in choices])], lambda _: choices[0], **BESIDE
        )
        top = heading("Shares of layers", SHARES)
        self.parts += [titled(top, controls), self.stack]

        def draw(*changes: Any) -> None:
            chosen = self.state.share if self.state.share in choices else choices[0]
            said = f"(run.layers.{chosen} ** 2).pipe(lambda part: part / part.sum('layer'))"
            top.text = heading("Shares of layers", SHARES, expression=said).text
            self.stack[:] = [pane(shares.shares(self.run, self.timeline, chosen))]

        draw()
        self.state.param.watch(draw, "share")
