"""The report: one HTML file that holds everything it shows and asks the network for nothing."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from bokeh.embed import components
from bokeh.resources import Resources

from deeptracker.export.parts import parts
from deeptracker.export.target import written
from deeptracker.view import behaviour, palettes
from deeptracker.view.band.overview import overview
from deeptracker.view.event import cards
from deeptracker.view.event.events import anomalies, around, labels
from deeptracker.view.frame import STYLE, head_html
from deeptracker.view.timeline import Timeline

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
  for (const kind of ['layer', 'class', 'event']) {
    const shown = open && event ? event[kind] : null;
    if (shown == null && kind != 'event') continue;
    for (let i = 0, m; (m = model(kind + '-' + i)); i++) m.visible = i == shown;
  }
}
window.addEventListener('dt-step', event => {
  const ranks = Object.keys(EVENTS).map(Number).filter(rank => rank > 0).sort((a, b) => a - b);
  const place = Math.max(0, Math.min(ranks.length - 1, ranks.indexOf(open) + event.detail));
  if (ranks.length && ranks[place] != open) choose(ranks[place]);
});
window.addEventListener('dt-clear', () => { if (open) choose(open) });
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
    views = parts(run, timeline, found)
    opens = {part.name: part.opens for part in views}
    state: dict[int, dict[str, Any]] = {0: {"start": timeline.full[0], "stop": timeline.full[1]}}
    for event in found:
        rank, onset = int(event["rank"]), int(event["iteration"])
        start, stop = around(run, event)
        state[rank] = {
            "start": start,
            "stop": stop,
            "onset": onset,
            "end": max(onset, int(event.get("end") or onset)),
            "layer": opens.get("filters", {}).get(rank),
            "class": opens.get("images", {}).get(rank),
            "event": opens.get("event", {}).get(rank),
        }
    # Not file_html: it adds the scripts of every Bokeh extension that this process imported, Panel's among them.
    library = "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).js_raw)
    figures, (top, *below) = components((band, *(part.layout() for part in views)))
    jumps = [(f"section-{part.name}", part.title) for part in views if part.title]
    return PAGE.format(
        title=escape(f"DeepTracker · {run.path.name}"),
        library=library,
        style=STYLE + cards.STYLE.replace(":host", ".dt-list"),
        head=head_html(run, jumps),
        events=cards.above(run, found) + "".join(cards.card(run, e) for e in found) + cards.below(labels(run)),
        band=top,
        views="".join(below),
        figures=figures,
        script=SCRIPT % (_embedded(state), palettes.INK, palettes.SELECTED) + behaviour.SCRIPT,
    )


def _embedded(state: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(state).replace("<", "\\u003c")


__all__ = ["html", "report"]
