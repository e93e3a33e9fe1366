"""Two to a hundred runs on one page, aligned by iteration or epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import panel as pn
import param
from bokeh.models import Div, Range1d

from deeptracker.app.address import addressed
from deeptracker.app.context import BESIDE, pane, titled
from deeptracker.app.controls import bound, select, words_of
from deeptracker.app.state import Query
from deeptracker.errors import InputError
from deeptracker.view import words
from deeptracker.view.compare import aligned, curves, multiples, parameters
from deeptracker.view.heading import FULL, heading, note

MOST = 100
ROWS = "Every run is a row: the same layer, the same statistic, one scale."
AGAINST = "Every row is a layer: how many times larger the statistic is in the one run than in the other."


class Choice(Query):
    """How runs are compared: in the address of the page."""

    align = param.Selector(default="iteration", objects=["iteration", "epoch"])
    layer = param.String("")
    statistic = param.String("")
    one = param.String("", doc="run whose layers are compared")
    other = param.String("", doc="with those of this run")


class Compare:
    """The page of several runs.

    Parameters
    ----------
    runs : opened, at least two. arguments : of the request.

    Raises
    ------
    InputError : fewer than two runs, or more than a hundred.
    """

    def __init__(self, runs: Sequence[Any], arguments: Mapping[str, Sequence[bytes]] | None = None) -> None:
        if not 2 <= len(runs) <= MOST:
            raise InputError(f"{words.count(len(runs), 'run')}: a comparison takes 2 to {MOST}")
        self.runs, self.names = list(runs), _names(runs)
        self.colours = curves.colours(len(runs))
        self.layers, self.statistics = multiples.common_layers(runs), multiples.common_statistics(runs)
        known = {"layer": self.layers, "statistic": self.statistics, "one": self.names, "other": self.names}
        self.choice = Choice()
        self.address, self.left_out = addressed(self.choice, arguments or {}, known)
        self.views = pn.Column(sizing_mode="stretch_width", margin=0)
        self.choice.param.watch(lambda *_: self._draw(), ["align", "layer", "statistic", "one", "other"])
        self._controls()
        self._draw()

    def _controls(self) -> None:
        kinds = [(kind, f"{kind}s") for kind in aligned.kinds_of(self.runs)]
        self.align = bound(self.choice, [select("align", kinds, "aligned by")], **BESIDE)
        fields = [select("layer", [(n, n) for n in self.layers]), select("statistic", self._statistics())]
        self.pick = bound(self.choice, fields, self._usual, **BESIDE)
        options = [(name, name) for name in self.names]
        self.pair = bound(
            self.choice, [select("one", options), select("other", options, "over")], self._usual, **BESIDE
        )

    def _statistics(self) -> list[tuple[str, str]]:
        return words_of(self.statistics, words.statistic)

    def _usual(self, key: str) -> str:
        if key == "layer":
            return self.layers[0] if self.layers else ""
        if key == "statistic":
            wanted = [n for n in ("update_ratio2", "g_rms", "w_rms") if n in self.statistics]
            return (wanted or self.statistics or [""])[0]
        return self.names[1 if key == "one" else 0]

    def _chosen(self, key: str) -> str:
        return str(getattr(self.choice, key)) or self._usual(key)

    def _draw(self) -> None:
        kind = self.choice.align if self.choice.align in aligned.kinds_of(self.runs) else "iteration"
        axis = aligned.axis_of(self.runs, kind)
        x_range = Range1d(axis.start, axis.stop, bounds=(axis.start, axis.stop), name="iterations")
        table = Div(
            text=parameters.table_html(self.runs, self.names, self.colours), sizing_mode="stretch_width",
            stylesheets=[FULL],
        )  # fmt: skip
        lines = curves.figures(self.runs, self.names, axis, x_range)
        self.views[:] = [
            titled(heading("Runs", f"{len(self.runs)} runs: what each came to, and what differs."), self.align),
            pane(table),
            *([pane(heading("Curves", "A line a run; pointing at one names it."))] if lines else []),
            *(pane(plot) for plot in lines),
            *self._layers(axis, x_range),
        ]

    def _layers(self, axis: Any, x_range: Any) -> list[Any]:
        if not self.layers or not self.statistics:
            return [pane(note("The runs have no layer, or no statistic of layers, in common."))]
        layer, variable = self._chosen("layer"), self._chosen("statistic")
        plot, scale = multiples.same_layer(self.runs, self.names, axis, x_range, layer, variable)
        one, other = (self.names.index(self._chosen(key)) for key in ("one", "other"))
        title = f"{self.names[one]} over {self.names[other]}"
        against, ratio = multiples.difference(
            self.runs[one], one, self.runs[other], other, axis, x_range, variable, title
        )
        return [
            titled(heading("The same layer", ROWS, [scale]), self.pick),
            pane(plot),
            titled(heading("Differences", AGAINST, [ratio]), self.pair),
            pane(against),
        ]


def _names(runs: Sequence[Any]) -> list[str]:
    """Names of folders; with the folder above where two are called the same."""
    names = [run.path.name for run in runs]
    if len(set(names)) == len(names):
        return names
    longer = [f"{run.path.parent.name}/{run.path.name}" for run in runs]
    return [f"{name} ({i + 1})" if longer.count(name) > 1 else name for i, name in enumerate(longer)]


__all__ = ["MOST", "Compare"]
