"""The filters of one layer."""

from __future__ import annotations

from typing import Any

import panel as pn
from bokeh.events import Tap

from deeptracker.app.context import BESIDE, Context, Section, pane
from deeptracker.app.controls import Controls, bound, select
from deeptracker.view import pages
from deeptracker.view.network import weights
from deeptracker.view.network.filters import SORTS, LayerFilters
from deeptracker.view.network.layer_values import told


class FiltersSection(Section):
    """Every filter of the layer that was selected last; a click picks one."""

    name, title = "section-filters", "Filters"

    @classmethod
    def offered(cls, context: Context) -> bool:
        return not pages.missing_layers(context.run)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.filters: LayerFilters | None = None
        missing = pages.missing_filters(self.run)
        if missing:
            self.say_missing("Filters of one layer", pages.FILTERS, missing)
            return
        self.filters = LayerFilters(
            self.run, self.timeline, layer=self._wanted(), variable=self._variable(), shown=self.state.show or None,
            height=150, sort=self.state.sort,
        )  # fmt: skip
        options = [(name, name) for name in self.filters.places]
        self.layer = Controls(fields=[select("layer", options)], values={"layer": self.filters.layer}, **BESIDE)
        sort = bound(self.state, [select("sort", list(SORTS.items()))], **BESIDE)
        self.weights = pn.Row(sizing_mode="stretch_width", margin=0)
        self.heading = self.head("Filters of one layer", pages.FILTERS)
        top = pane(self.heading)
        self.parts = [
            pn.Row(top, sort, self.layer, sizing_mode="stretch_width", margin=0),
            pane(self.filters.layout),
            self.weights,
        ]
        self.filters.heat.on_event(Tap, self._tap)
        self.layer.param.watch(self._choose, "values")
        self.state.param.watch(lambda *_: context.agenda.follow(self.name, self._open), ["layers", "filters", "pins"])
        self.state.param.watch(lambda *_: self._sort(), "sort")
        self.state.param.watch(lambda *_: self._use(), ["statistic", "show"])
        self._open()

    def _variable(self) -> str | None:
        """The statistic that is chosen, where filters have it."""
        return self.state.statistic if self.state.statistic in told(self.run) else None

    def _wanted(self) -> str | None:
        return self.state.layers[-1] if self.state.layers else pages.suspect(self.run)

    def _choose(self, change: Any) -> None:
        assert self.filters is not None
        layer = change.new.get("layer")
        if layer in self.filters.places and layer != self.filters.layer:
            self.state.param.update(layers=[layer], filters=[])

    def _open(self) -> None:
        """Show the layer that was selected last, and the filter of it that was."""
        assert self.filters is not None
        layer = self._wanted() or self.filters.layer
        own = [name for name in self.state.filters if name.rpartition(":")[0] == layer]
        channel = int(own[-1].rpartition(":")[2]) if own and own[-1].rpartition(":")[2].isdigit() else None
        if channel is not None and channel >= self.filters.places[layer].count:
            channel = None
        if layer != self.filters.layer:
            self.filters.show(layer, channel)
        elif channel is not None and channel != self.filters.channel:
            self.filters.pick(channel)
        self.layer.values = {"layer": layer}
        self.heading.text = self.head("Filters of one layer", pages.FILTERS).text
        self.soon(self._picture)

    def expression(self) -> str:
        if self.filters is None or not self.filters.layer:
            return ""
        own = f"layer={self.filters.layer!r}, channel={self.filters.channel}"
        return f'run.dataset("{self.filters.values.group}")["{self.filters.values.variable}"].sel({own})'

    def _picture(self) -> None:
        """The filter's weights, at the last pin or at the end, where they were recorded."""
        assert self.filters is not None
        pin = float(self.state.pins[-1]) if self.state.pins else None
        plots = weights.figures(self.run, self.filters.places[self.filters.layer], self.filters.channel, pin)
        self.weights[:] = [pn.pane.Bokeh(plot, margin=(4, 12, 0, 0)) for plot in plots]

    def _sort(self) -> None:
        assert self.filters is not None
        self.filters.sort = self.state.sort
        self.filters.show(self.filters.layer, self.filters.channel)

    def _use(self) -> None:
        assert self.filters is not None
        variable = self._variable() or self.filters.values.variable
        self.filters.use(variable, self.state.show or self.filters.values.show)

    def _tap(self, tap: Any) -> None:
        assert self.filters is not None
        channel = self.filters.channel_at(tap.y)
        if channel is not None:
            keep = bool(tap.modifiers and tap.modifiers["shift"])
            layer = self.filters.layer
            if layer not in self.state.layers:
                self.state.param.update(layers=[layer], filters=[f"{layer}:{channel}"])
            else:
                self.state.add("filters", f"{layer}:{channel}", keep=keep)
