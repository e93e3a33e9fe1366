"""The report: one HTML file that holds everything it shows and asks the network for nothing."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from bokeh.embed import components
from bokeh.layouts import column
from bokeh.resources import Resources

from deeptracker.export.target import written
from deeptracker.screen.answers import first_set
from deeptracker.view import pages, palettes
from deeptracker.view.answers.classes import ClassRows
from deeptracker.view.answers.flips import class_of
from deeptracker.view.answers.images import ClassImages
from deeptracker.view.answers.pixels import PixelChart
from deeptracker.view.band.overview import overview
from deeptracker.view.curves import ScalarCurves
from deeptracker.view.event import cards
from deeptracker.view.event.events import anomalies, around, labels
from deeptracker.view.faces.cube import Cube
from deeptracker.view.frame import STYLE, head_html
from deeptracker.view.heading import heading, note
from deeptracker.view.network.filters import LayerFilters
from deeptracker.view.network.strips import Strips
from deeptracker.view.timeline import Timeline

IMAGES = "Every image is a row; hover shows the picture and the answer."
OPENED = 4
"""Events whose layer and class are opened in the file; further ones move the time axis only."""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<script>{library}</script>
<style>{style}</style></head>
<body><div class="dt-page"><header class="dt-head">{head}</header>
<aside class="dt-list">{events}</aside>
<main class="dt-main"><div class="dt-band">{band}</div><div class="dt-views">{views}</div></main></div>
{figures}
<script>{script}</script></body></html>
"""

SCRIPT = """
const EVENTS = %s, INK = '%s', SELECTED = '%s';
let open = 0;
function model(name) { return Bokeh.documents.map(d => d.get_model_by_name(name)).find(m => m) }
function choose(rank) {
  open = open == rank ? 0 : rank;
  for (const card of document.querySelectorAll('.card')) {
    const mine = Number(card.dataset.rank) == open;
    card.classList.toggle('open', mine);
    card.querySelector('button').setAttribute('aria-expanded', mine);
    card.querySelector(':scope > div').hidden = !mine;
  }
  const event = EVENTS[open], whole = EVENTS[0];
  const range = model('iterations'), marks = model('events');
  model('selection').data = event && open ? {x0: [event.onset], x1: [event.end]} : {x0: [], x1: []};
  range.setv({start: (event || whole).start, end: (event || whole).stop});
  marks.data = {...marks.data, fill: marks.data.rank.map(r => r == String(open) ? SELECTED : INK)};
  if (open && event) for (const kind of ['layer', 'class']) {
    if (event[kind] == null) continue;
    for (let i = 0, m; (m = model(kind + '-' + i)); i++) m.visible = i == event[kind];
  }
}
for (const card of document.querySelectorAll('.card'))
  card.querySelector('button').onclick = () => choose(Number(card.dataset.rank));
"""


def report(run: Any, path: str | Path) -> Path:
    """Write the events with their evidence and the three views, linked, into one HTML file.

    Parameters
    ----------
    run : an opened run; parts that it lacks are replaced by a note on what brings them.
    path : file to write; an existing one is replaced.

    Returns
    -------
    The file.

    Raises
    ------
    InputError : the folder does not exist.
    """
    target = Path(path).expanduser()
    with written(target) as aside:
        aside.write_text(html(run), encoding="utf-8")
    return target


def html(run: Any) -> str:
    """The report as text."""
    timeline = Timeline(run)
    found = anomalies(run)
    band = overview(run, timeline).layout
    layer_views, opened_layer = _filters(run, timeline, found)
    class_views, opened_class = _images(run, timeline, found)
    sections = [
        (_layers(run, timeline), pages.missing_layers(run)),
        (_classes(run, timeline), pages.missing_validation(run)),
        (_scalars(run, timeline), ""),
        (_opened("Filters of one layer", pages.FILTERS, layer_views), pages.missing_filters(run)),
        (_opened("Images of one class", IMAGES, class_views), ""),
        (_pixels(run, timeline), ""),
        (_cube(run, timeline), pages.missing_cube(run)),
    ]
    # What there is comes first; what is missing is said after it.
    parts = [part for section, missing in sorted(sections, key=lambda one: bool(one[1])) for part in section]
    views = column(*parts, sizing_mode="stretch_width", spacing=0)
    state: dict[int, dict[str, Any]] = {0: {"start": timeline.full[0], "stop": timeline.full[1]}}
    for event in found:
        rank, onset = int(event["rank"]), int(event["iteration"])
        start, stop = around(run, event)
        state[rank] = {
            "start": start,
            "stop": stop,
            "onset": onset,
            "end": max(onset, int(event.get("end") or onset)),
            "layer": opened_layer.get(rank),
            "class": opened_class.get(rank),
        }
    # Not file_html: it adds the scripts of every Bokeh extension that this process imported, Panel's among them.
    library = "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).js_raw)
    figures, (top, below) = components((band, views))
    return PAGE.format(
        title=escape(f"DeepTracker · {run.path.name}"),
        library=library,
        style=STYLE + cards.STYLE.replace(":host", ".dt-list"),
        head=head_html(run),
        events=cards.above(run, found) + "".join(cards.card(run, e) for e in found) + cards.below(labels(run)),
        band=top,
        views=below,
        figures=figures,
        script=SCRIPT % (_embedded(state), palettes.INK, palettes.SELECTED),
    )


def _embedded(state: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(state).replace("<", "\\u003c")


def _filters(run: Any, timeline: Timeline, found: list[Any]) -> tuple[list[Any], dict[int, int]]:
    """Drill-downs into the layers of the first events, and which event opens which."""
    if pages.missing_layers(run) or pages.missing_filters(run):
        return [note(missing)] if (missing := pages.missing_filters(run)) else [], {}
    wanted = {int(e["rank"]): str(e["layers"][0]) for e in found if e.get("layers")}
    names = list(dict.fromkeys(wanted.values()))[:OPENED]
    views: list[Any] = []
    opened: list[str | None] = [*names] or [None]
    for layer in opened:
        detail = LayerFilters(run, timeline, layer=layer, height=150)
        detail.pick_in_browser()
        detail.layout.update(name=f"layer-{len(views)}", visible=not views)
        views.append(detail.layout)
    return views, {rank: names.index(layer) for rank, layer in wanted.items() if layer in names}


def _images(run: Any, timeline: Timeline, found: list[Any]) -> tuple[list[Any], dict[int, int]]:
    """Drill-downs into the classes of the first events, and which event opens which."""
    view = first_set(run)
    if pages.missing_validation(run) or view is None:
        return [], {}
    probe = ClassImages(run, view, timeline)
    known = list(probe.classes.names)
    wanted = {int(e["rank"]): name for e in found if (name := class_of(run, view, e)) is not None}
    names = list(dict.fromkeys(name for name in wanted.values() if name in known))[:OPENED]
    views: list[Any] = []
    for name in names or known[:1]:
        detail = ClassImages(run, view, timeline, index=known.index(name))
        detail.plot.update(name=f"class-{len(views)}", visible=not views)
        views.append(detail.plot)
    return views, {rank: names.index(name) for rank, name in wanted.items() if name in names}


def _layers(run: Any, timeline: Timeline) -> list[Any]:
    missing = pages.missing_layers(run)
    if missing:
        return [heading("Layers", pages.LAYERS), note(missing)]
    strips = Strips(run, timeline)
    return [heading("Layers", pages.layers_text(run), [strips.scale]), *strips.figures]


def _scalars(run: Any, timeline: Timeline) -> list[Any]:
    curves = ScalarCurves(run, timeline)
    return [heading("Scalars", curves.text), *curves.figures] if curves.figures else []


def _opened(title: str, text: str, views: list[Any]) -> list[Any]:
    """Drill-downs under their heading; only the first is visible until an event opens another."""
    return [heading(title, text), *views] if views else []


def _classes(run: Any, timeline: Timeline) -> list[Any]:
    missing, view = pages.missing_validation(run), first_set(run)
    if missing or view is None:
        return [heading("Classes", pages.VALIDATION), note(missing)]
    rows = ClassRows(run, view, timeline)
    return [heading("Classes", pages.VALIDATION, [rows.scale], pages.class_signs()), rows.plot]


def _pixels(run: Any, timeline: Timeline) -> list[Any]:
    view = first_set(run)
    if pages.missing_validation(run) or view is None:
        return []
    pixels = PixelChart(run, view, timeline)
    return [heading("All images", "The whole validation set, grouped by class.", [pixels.scale]), pixels.plot]


def _cube(run: Any, timeline: Timeline) -> list[Any]:
    missing, view = pages.missing_cube(run), first_set(run)
    top = heading("Layers and classes", pages.CUBE)
    return [top, note(missing)] if missing or view is None else [top, Cube(run, view, timeline).layout]


__all__ = ["html", "report"]
