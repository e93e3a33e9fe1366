"""The explorer of one run: ranked events, the band over the whole training, and the three views, linked."""

from __future__ import annotations

from typing import Any

import panel as pn
from bokeh.models import Div

from deeptracker.app.event_list import event_list
from deeptracker.screen import sizes
from deeptracker.screen.answers import first_set
from deeptracker.view import pages, palettes, words
from deeptracker.view.answers.classes import ClassRows
from deeptracker.view.answers.flips import class_of
from deeptracker.view.answers.images import ClassImages
from deeptracker.view.answers.pixels import PixelChart
from deeptracker.view.curves import ScalarCurves
from deeptracker.view.event.events import anomalies, around
from deeptracker.view.faces.cube import Cube
from deeptracker.view.frame import head_html
from deeptracker.view.heading import FULL, heading, note
from deeptracker.view.network.filters import LayerFilters
from deeptracker.view.network.layer_values import told
from deeptracker.view.network.strips import Strips
from deeptracker.view.overview import overview
from deeptracker.view.timeline import Timeline

DELAY = 120
CONTROL: dict[str, Any] = {"margin": (12, 0, 4, 10), "align": "end"}


class Explorer:
    """One session's page on a run. Every view shows ``timeline.x_range``; ``open_event`` moves all of them.

    Parameters
    ----------
    run : an opened run; parts that it lacks are replaced by a note on what brings them.
    """

    def __init__(self, run: Any) -> None:
        self.run = run
        self.view = first_set(run)
        self.timeline = Timeline(run)
        self.events = {int(e["rank"]): e for e in anomalies(run)}
        self.list = event_list(run)
        self.band = overview(run, self.timeline)
        self.strips: Strips | None = None
        self.filters: LayerFilters | None = None
        self.rows: ClassRows | None = None
        self.pixels: PixelChart | None = None
        self.images: ClassImages | None = None
        self.cube: Cube | None = None
        self._waiting = False
        layers, classes = self._layers(), self._classes()
        sections = [
            (layers, self.strips),
            (classes, self.rows),
            (self._scalars(), True),
            (self._filters(), self.filters),
            (self._images(), self.images),
            (self._cube(), self.cube),
        ]
        # What there is comes first; what is missing is said after it.
        there = [part for parts, view in sections if view is not None for part in parts]
        missing = [part for parts, view in sections if view is None for part in parts]
        self.views = pn.Column(*there, *missing, sizing_mode="stretch_width", margin=0)
        self._link()

    def _missing(self, title: str, text: str, missing: str) -> list[Any]:
        return [self._pane(heading(title, text)), self._pane(note(missing))]

    def _layers(self) -> list[Any]:
        """All layers over time."""
        missing = pages.missing_layers(self.run)
        if missing:
            return self._missing("Layers", pages.LAYERS, missing)
        self.strips = Strips(self.run, self.timeline)
        self.heading = heading("Layers", "")
        titles = {f"{words.statistic(n)} ({n})" if words.statistic(n) != n else n: n for n in told(self.run)}
        self.statistic = _select(titles, self.strips.values.variable, 330)
        self.show = pn.widgets.RadioButtonGroup(
            options={"what changed": "change", "values": "value"}, value=self.strips.values.show, **CONTROL
        )
        self._describe()
        top = pn.Row(self._pane(self.heading), self.statistic, self.show, sizing_mode="stretch_width", margin=0)
        return [top, *(self._pane(plot) for plot in self.strips.figures)]

    def _filters(self) -> list[Any]:
        """The filters of one layer."""
        if self.strips is None:
            return []
        missing = pages.missing_filters(self.run)
        if missing:
            return self._missing("Filters of one layer", pages.FILTERS, missing)
        self.filters = LayerFilters(self.run, self.timeline, layer=pages.suspect(self.run), height=150)
        self.layer = _select(list(self.filters.places), self.filters.layer, 260)
        return [self._titled("Filters of one layer", pages.FILTERS, self.layer), self._pane(self.filters.layout)]

    def _describe(self) -> None:
        assert self.strips is not None
        opens = "" if pages.missing_filters(self.run) else " Click a strip to open its filters."
        self.heading.text = heading("Layers", f"{pages.layers_text(self.run)}{opens}", [self.strips.scale]).text

    def _scalars(self) -> list[Any]:
        """Whatever else was logged."""
        curves = ScalarCurves(self.run, self.timeline)
        top = [self._pane(heading("Scalars", curves.text))] if curves.figures else []
        return [*top, *(self._pane(plot) for plot in curves.figures)]

    def _classes(self) -> list[Any]:
        """All classes over time."""
        missing = pages.missing_validation(self.run)
        if missing or self.view is None:
            return self._missing("Classes", pages.VALIDATION, missing)
        self.rows = ClassRows(self.run, self.view, self.timeline)
        top = heading("Classes", f"{pages.VALIDATION} Click one.", [self.rows.scale], pages.class_signs())
        return [self._pane(top), self._pane(self.rows.plot)]

    def _images(self) -> list[Any]:
        """The images of one class, and all."""
        if self.rows is None or self.view is None:
            return []
        self.pixels = PixelChart(self.run, self.view, self.timeline)
        names = list(self.rows.classes.names)
        wanted = pages.suspect_class(self.run)
        index = names.index(wanted) if wanted in names else 0
        self.images = ClassImages(self.run, self.view, self.timeline, index=index)
        self.label = _select({words.class_name(n): i for i, n in enumerate(names)}, index, 200)
        text = "Every image is a row; hover shows the picture and the answer."
        every = heading("All images", "The whole validation set, grouped by class.", [self.pixels.scale])
        return [
            self._titled("Images of one class", text, self.label),
            self._pane(self.images.plot),
            self._pane(every),
            self._pane(self.pixels.plot),
        ]

    def _cube(self) -> list[Any]:
        missing = pages.missing_cube(self.run)
        if missing or self.view is None:
            return self._missing("Layers and classes", pages.CUBE, missing)
        self.cube = Cube(self.run, self.view, self.timeline)
        return [self._pane(heading("Layers and classes", pages.CUBE)), self._pane(self.cube.layout)]

    def _titled(self, title: str, text: str, widget: Any) -> pn.Row:
        return pn.Row(self._pane(heading(title, text)), widget, sizing_mode="stretch_width", margin=0)

    @staticmethod
    def _pane(model: Any) -> pn.pane.Bokeh:
        return pn.pane.Bokeh(model, sizing_mode="stretch_width", margin=0)

    def _link(self) -> None:
        self.list.param.watch(lambda change: self.open_event(change.new), "selected")
        self.band.lane.on_event("tap", self._tap_mark)
        if self.strips is not None:
            self.statistic.param.watch(lambda _: self._redraw(), "value")
            self.show.param.watch(lambda _: self._redraw(), "value")
            if sizes(self.run, self.strips.values.group)["iteration"] > self.strips.columns:
                for edge in ("start", "end"):
                    self.timeline.x_range.on_change(edge, self._zoomed)
        if self.strips is not None and self.filters is not None:
            for plot, (_, members) in zip(self.strips.figures, self.strips.stages, strict=True):
                plot.on_event("tap", lambda tap, members=members: self._tap_strip(tap, members))
            self.filters.heat.on_event("tap", self._tap_filter)
            self.layer.param.watch(lambda change: self._open_layer(change.new), "value")
        if self.rows is not None and self.images is not None:
            self.rows.plot.on_event("tap", self._tap_class)
            self.label.param.watch(lambda change: self._open_class(change.new), "value")

    def open_event(self, rank: int) -> None:
        """Show an event in every view: its iterations, its layer's filters, its class's images; 0 closes."""
        event = self.events.get(rank)
        marks = self.band.marks.data
        colours = [palettes.SELECTED if r == str(rank) else palettes.INK for r in marks["rank"]]
        self.band.marks.patch({"fill": [(slice(len(colours)), colours)]})
        if event is None:
            self.timeline.selection.data = {"x0": [], "x1": []}
            self.timeline.show(*self.timeline.full)
            return
        onset = int(event["iteration"])
        self.timeline.select(onset, max(int(event.get("end") or onset), onset))
        self.timeline.show(*around(self.run, event))
        if event.get("layers") and self.filters is not None and str(event["layers"][0]) in self.filters.places:
            layer = str(event["layers"][0])
            own = [int(f["channel"]) for f in event.get("filters", ()) if f["layer"] == layer]
            self.layer.value = layer
            self._open_layer(layer, own[0] if own else None)
        if self.images is not None and self.view is not None:
            names = list(self.images.classes.names)
            label = class_of(self.run, self.view, event)
            if label in names:
                self.label.value = names.index(label)
        if self.cube is not None:
            self.cube.corner.text = self.cube.corner_html(event)

    def _open_layer(self, layer: str, channel: int | None = None) -> None:
        if self.filters is not None and (layer != self.filters.layer or channel is not None):
            self.filters.show(layer, channel)

    def _open_class(self, index: int) -> None:
        if self.images is not None and index != self.images.index:
            self.images.show(index)

    def _redraw(self) -> None:
        if self.strips is None:
            return
        self.strips.update(self.timeline.x_range.start, self.timeline.x_range.end,
                           variable=self.statistic.value, show=self.show.value)  # fmt: skip
        if self.filters is not None:
            self.filters.use(self.statistic.value, self.show.value)
        self._describe()

    def _tap_mark(self, tap: Any) -> None:
        reach = (self.timeline.full[1] - self.timeline.full[0]) * 0.02
        near = [(abs(int(e["iteration"]) - tap.x), rank) for rank, e in self.events.items()]
        if near and min(near)[0] <= reach:
            self.list.selected = min(near)[1]

    def _tap_strip(self, tap: Any, members: list[Any]) -> None:
        row = len(members) - 1 - int(tap.y // 1)
        if 0 <= row < len(members):
            self.layer.value = members[row].name

    def _tap_filter(self, tap: Any) -> None:
        channel = self.filters.channel_at(tap.y) if self.filters is not None else None
        if channel is not None and self.filters is not None:
            self.filters.pick(channel)

    def _tap_class(self, tap: Any) -> None:
        index = self.rows.class_at(tap.y) if self.rows is not None else None
        if index is not None:
            self.label.value = index

    def _zoomed(self, attr: str, old: Any, new: Any) -> None:
        """Read a finer or coarser level once the range has stood still for a moment."""
        document = self.timeline.x_range.document
        if self._waiting or document is None:
            return
        self._waiting = True
        document.add_timeout_callback(self._refine, DELAY)

    def _refine(self) -> None:
        self._waiting = False
        if self.strips is not None:
            self.strips.update(self.timeline.x_range.start, self.timeline.x_range.end)

    def head(self) -> Div:
        """The run's name and its size, in one line."""
        return Div(text=head_html(self.run), sizing_mode="stretch_width", margin=0, stylesheets=[FULL])


def _select(options: Any, value: Any, width: int) -> Any:
    return pn.widgets.Select(options=options, value=value, width=width, **CONTROL)
