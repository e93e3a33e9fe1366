"""The parts of a report: the views of the explorer as figures that need no server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bokeh.layouts import column, row

from deeptracker.screen.answers import classes_of, first_set
from deeptracker.view import pages
from deeptracker.view.answers import confusion, rules
from deeptracker.view.answers.classes import ClassRows
from deeptracker.view.answers.flips import class_of
from deeptracker.view.answers.images import ClassImages
from deeptracker.view.answers.pixels import PixelChart
from deeptracker.view.curves import ScalarCurves
from deeptracker.view.event.events import Event
from deeptracker.view.event.page import USUAL, EventFigures
from deeptracker.view.faces.cabinet import Cabinet
from deeptracker.view.faces.cube import Cube
from deeptracker.view.heading import heading, note
from deeptracker.view.network import architecture, shares
from deeptracker.view.network.filters import LayerFilters
from deeptracker.view.network.strips import Strips
from deeptracker.view.timeline import Timeline

IMAGES = "Every image is a row; hover shows the picture and the answer."
ANSWERS = "Gains are drawn upwards, losses downwards."
MISTAKES = "What was taken for what before and after the strongest event, else at both ends of the run."
OPENED = 4
"""Events whose page, layer and class are in the file; further ones move the time axis only."""


@dataclass
class Part:
    """A view: its name and title for the links on top, its models, and whether the run lacks what it shows.

    ``opens`` says which event shows which of the models named ``<kind>-<number>``.
    """

    name: str
    title: str
    models: list[Any]
    missing: bool = False
    opens: dict[int, int] = field(default_factory=dict)

    def layout(self) -> Any:
        """All models, one under the other."""
        return column(*self.models, name=f"section-{self.name}", sizing_mode="stretch_width", spacing=0)


def parts(run: Any, timeline: Timeline, found: list[Event]) -> list[Part]:
    """All parts; what there is comes first, what is missing is said after it."""
    made = [
        _events(run, timeline, found),
        _layers(run, timeline),
        _classes(run, timeline),
        _filters(run, timeline, found),
        _images(run, timeline, found),
        _pixels(run, timeline),
        _answers(run, timeline, found),
        _cube(run, timeline),
        _shares(run, timeline),
        _scalars(run, timeline),
        _net(run),
    ]
    return sorted((part for part in made if part.models), key=lambda part: part.missing)


def _events(run: Any, timeline: Timeline, found: list[Event]) -> Part:
    """The pages of the first events; one is shown while its event is open."""
    pages_: list[Any] = []
    opens: dict[int, int] = {}
    for event in found[:OPENED]:
        figures = EventFigures(run, timeline)
        figures.show(event)
        figures.layout.children = [plot for plot in figures.layout.children if plot.visible]
        if not figures.layout.children:
            continue
        top = heading(f"Event {event['rank']}", USUAL)
        opens[int(event["rank"])] = len(pages_)
        pages_.append(
            column(
                top,
                figures.layout,
                name=f"event-{len(pages_)}",
                visible=False,
                sizing_mode="stretch_width",
                spacing=0,
            )
        )
    return Part("event", "", pages_, opens=opens)


def _layers(run: Any, timeline: Timeline) -> Part:
    missing = pages.missing_layers(run)
    if missing:
        return Part("layers", "Layers", [heading("Layers", pages.LAYERS), note(missing)], True)
    strips = Strips(run, timeline)
    top = heading("Layers", pages.layers_text(run), [strips.scale], expression=strips.expression())
    return Part("layers", "Layers", [top, *strips.figures])


def _classes(run: Any, timeline: Timeline) -> Part:
    missing, view = pages.missing_validation(run), first_set(run)
    if missing or view is None:
        return Part("classes", "Classes", [heading("Classes", pages.VALIDATION), note(missing)], True)
    rows = ClassRows(run, view, timeline)
    top = heading("Classes", pages.VALIDATION, [rows.scale], pages.class_signs())
    return Part("classes", "Classes", [top, rows.plot])


def _filters(run: Any, timeline: Timeline, found: list[Event]) -> Part:
    """Drill-downs into the layers of the first events, and which event opens which."""
    if pages.missing_layers(run):
        return Part("filters", "Filters", [])
    if missing := pages.missing_filters(run):
        models = [heading("Filters of one layer", pages.FILTERS), note(missing)]
        return Part("filters", "Filters", models, True)
    wanted = {int(e["rank"]): str(e["layers"][0]) for e in found if e.get("layers")}
    names = list(dict.fromkeys(wanted.values()))[:OPENED]
    views: list[Any] = []
    opened: list[str | None] = [*names] or [None]
    for layer in opened:
        detail = LayerFilters(run, timeline, layer=layer, height=150)
        detail.pick_in_browser()
        detail.layout.update(name=f"layer-{len(views)}", visible=not views)
        views.append(detail.layout)
    opens = {rank: names.index(layer) for rank, layer in wanted.items() if layer in names}
    return Part("filters", "Filters", [heading("Filters of one layer", pages.FILTERS), *views], opens=opens)


def _images(run: Any, timeline: Timeline, found: list[Event]) -> Part:
    """Drill-downs into the classes of the first events, and which event opens which."""
    view = first_set(run)
    if pages.missing_validation(run) or view is None:
        return Part("images", "Images", [])
    known = list(classes_of(run, view).names)
    wanted = {int(e["rank"]): name for e in found if (name := class_of(run, view, e)) is not None}
    names = list(dict.fromkeys(name for name in wanted.values() if name in known))[:OPENED]
    views: list[Any] = []
    for name in names or known[:1]:
        detail = ClassImages(run, view, timeline, index=known.index(name))
        detail.plot.update(name=f"class-{len(views)}", visible=not views)
        views.append(detail.plot)
    opens = {rank: names.index(name) for rank, name in wanted.items() if name in names}
    return Part("images", "Images", [heading("Images of one class", IMAGES), *views], opens=opens)


def _pixels(run: Any, timeline: Timeline) -> Part:
    view = first_set(run)
    if pages.missing_validation(run) or view is None:
        return Part("pixels", "All images", [])
    pixels = PixelChart(run, view, timeline)
    top = heading("All images", "The whole validation set, grouped by class.", [pixels.scale])
    return Part("pixels", "All images", [top, pixels.plot])


def _answers(run: Any, timeline: Timeline, found: list[Event]) -> Part:
    """L, R and what happened to the answers of the suspect class; mistakes around the strongest event."""
    view = first_set(run)
    if pages.missing_validation(run) or view is None:
        return Part("answers", "Answers", [])
    names = list(classes_of(run, view).names)
    wanted = pages.suspect_class(run)
    index = names.index(wanted) if wanted in names else 0
    models = rules.lines(run, view, timeline, index) if rules.has_rules(run, view) else []
    counted = rules.counted(run, view, timeline, index)
    models += [counted] if counted is not None else []
    if models:
        models.insert(0, heading(f"Answers of class {names[index]}" if len(names) > 1 else "Answers", ANSWERS))
    first, last = timeline.full
    if found:
        first = float(int(found[0]["iteration"]) - 1)
        last = float(max(int(found[0].get("end") or first + 1), int(first) + 1))
        last += 2 * timeline.passes
    mistakes = confusion.Confusion(run, view)
    if mistakes.plots:
        mistakes.show(first, last)
        models += [heading("Mistakes", MISTAKES), row(*mistakes.plots)]
    return Part("answers", "Answers", models)


def _cube(run: Any, timeline: Timeline) -> Part:
    missing, view = pages.missing_cube(run), first_set(run)
    top = heading("Layers and classes", pages.CUBE)
    if missing or view is None:
        return Part("cube", "Cube", [top, note(missing)], True)
    cube = Cube(run, view, timeline)
    cabinet = Cabinet(run, view, cube.faces, cube.layers)
    legends = heading("The same as a cube", "Point at a face to read it.", cabinet.scales)
    return Part("cube", "Cube", [top, cube.layout, legends, cabinet.said, cabinet.plot])


def _shares(run: Any, timeline: Timeline) -> Part:
    if pages.missing_layers(run):
        return Part("shares", "Shares", [])
    plots = [shares.shares(run, timeline, name) for name in shares.choices(run)]
    text = "How much of the whole lies in which layer, the first on top; tints are stages."
    return Part("shares", "Shares", [heading("Shares of layers", text), *plots] if plots else [])


def _scalars(run: Any, timeline: Timeline) -> Part:
    curves = ScalarCurves(run, timeline)
    models = [heading("Scalars", curves.text), *curves.figures] if curves.figures else []
    return Part("scalars", "Scalars", models)


def _net(run: Any) -> Part:
    if pages.missing_layers(run):
        return Part("net", "Net", [])
    return Part(
        "net", "Net", [heading("Architecture", "What feeds what, from left to right."), architecture.graph(run)]
    )


__all__ = ["OPENED", "Part", "parts"]
