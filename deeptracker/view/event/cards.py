"""Events as cards of HTML: cause, time, place, how often chance does the same, evidence, pictures."""

from __future__ import annotations

from html import escape
from typing import Any

from deeptracker.detect.silence import silence
from deeptracker.screen.answers import class_names, first_set
from deeptracker.view import palettes, words
from deeptracker.view.answers.flips import flipped
from deeptracker.view.event import batch
from deeptracker.view.event.events import Event, documents
from deeptracker.view.thumbnails import gallery
from deeptracker.view.timeline import FONT

MOST_PICTURES = 24
MOST_ON_PAGE = 60
MOST_FILTERS = 24
FIRST = 4
"""Pieces of evidence that are seen at once."""

STYLE = f"""
:host {{ display: block; font-family: {FONT}; color: {palettes.INK}; font-size: 12.5px; line-height: 1.42; }}
h2 {{ font-size: 14px; margin: 6px 2px 2px; }}
p.lead {{ margin: 0 2px 8px; color: {palettes.MUTED}; }}
.card {{ background: #fff; border: 1px solid {palettes.FAINT}; border-left: 4px solid {palettes.FAINT};
  border-radius: 7px; margin: 0 0 7px; }}
.card:hover {{ border-color: {palettes.MUTED}; }}
.card.open {{ border-left-color: {palettes.SELECTED}; box-shadow: 0 1px 6px rgba(20, 30, 50, .13); }}
.card > button {{ all: unset; box-sizing: border-box; display: block; width: 100%; cursor: pointer;
  padding: 8px 11px; }}
.card > button:focus-visible {{ outline: 2px solid {palettes.LOSS}; }}
.card > div {{ padding: 0 11px 9px; }}
.title {{ display: flex; gap: 8px; align-items: center; font-weight: 600; font-size: 13.5px; }}
.rank {{ background: {palettes.INK}; color: #fff; border-radius: 10px; min-width: 20px; height: 20px;
  line-height: 20px; text-align: center; font-size: 11px; flex: none; }}
.open .rank {{ background: {palettes.SELECTED}; }}
.rate {{ color: {palettes.MUTED}; }}
.said {{ margin-top: 3px; color: {palettes.INK}; }}
.said b {{ background: {palettes.MISSING}; border-radius: 4px; padding: 0 5px; font-weight: 600; }}
ul {{ margin: 0 0 4px; padding: 0 0 0 16px; }}
li {{ margin-bottom: 4px; }}
details {{ margin-top: 9px; }}
summary {{ cursor: pointer; color: {palettes.LOSS}; margin-bottom: 4px; }}
code {{ display: block; font-size: 11px; color: {palettes.LOSS}; overflow-wrap: anywhere; user-select: text; }}
h3 {{ font-size: 12px; margin: 9px 0 4px; }}
.label {{ display: flex; gap: 8px; padding: 3px 4px; color: {palettes.MUTED}; }}
.label span {{ white-space: nowrap; }}
.label b {{ font-weight: 400; color: {palettes.INK}; }}
.empty {{ border: 1px dashed {palettes.FAINT}; border-radius: 7px; padding: 11px 13px; background: #fff;
  color: {palettes.MUTED}; }}
"""


def above(run: Any, found: list[Event]) -> str:
    """What stands over the cards: how many there are, or why there are none."""
    title = "<h2>What was unusual</h2>"
    if documents(run) is None:
        return (
            f"{title}<div class='empty'>This run was recorded, not analysed yet. Events come with<br>"
            f"<code>deeptracker analyze {escape(str(run.path))}</code></div>"
        )
    if not found:
        return f"{title}<div class='empty'>{escape(silence(run))}</div>"
    return f"{title}<p class='lead'>{words.count(len(found), 'event')}, strongest first. Click one to open it.</p>"


def below(known: list[Event]) -> str:
    """What stands under the cards: labels, which were known beforehand and count as no alarm."""
    if not known:
        return ""
    lines = "".join(f"<div class='label'><span>⚑ {words.when(e)}</span><b>{_label(e)}</b></div>" for e in known)
    return f"<h2>Known beforehand</h2><p class='lead'>Planned changes, not counted as unusual.</p>{lines}"


def summary(event: Event) -> str:
    """The part of a card that is always seen."""
    return (
        f"<div class='title'><span class='rank'>{event['rank']}</span><span>{escape(words.cause(event['cause']))}"
        f"</span></div><div>iteration {words.when(event)}</div><div>{escape(words.where(event))}</div>"
        f"<div class='rate'>{escape(words.false_rate(event))}</div>{_remark(event)}"
    )


def _remark(event: Event) -> str:
    """What a person said of an event."""
    said = event.get("remark")
    if not said:
        return ""
    verdict, note = str(said.get("verdict") or "note"), str(said.get("note") or "")
    return f"<div class='said'><b>{escape(verdict)}</b> {escape(note)}</div>"


def card(run: Any, event: Event, *, hidden: bool = True, shows: bool = True) -> str:
    """One card: a button that opens it, and its detail; ``shows``: with the images that flipped."""
    return (
        f'<div class="card" data-rank="{int(event["rank"])}"><button aria-expanded="false">{summary(event)}</button>'
        f"<div{' hidden' if hidden else ''}>{detail(run, event, shows)}</div></div>"
    )


def page_html(run: Any, event: Event) -> str:
    """What the page of an event shows in pictures: images that flipped, and the batch, where there are any."""
    parts = [pictures(run, event, MOST_ON_PAGE), batch.pictures(run, event)]
    if not any(parts):
        return ""
    style = f"font-family:{FONT};font-size:12.5px;color:{palettes.INK}"
    return f'<style>h3 {{ font-size: 12px; margin: 9px 0 4px; }}</style><div style="{style}">{"".join(parts)}</div>'


def detail(run: Any, event: Event, shows: bool = True) -> str:
    """The strongest evidence in words, pictures of images that flipped, filters, and how to get every number."""
    evidence = list(event.get("evidence") or ())
    parts = [f"<ul>{''.join(_line(line) for line in evidence[:FIRST])}</ul>" if evidence else ""]
    if shows:
        parts.append(pictures(run, event))
    if event.get("filters"):
        parts.append(f"<h3>Filters</h3>{_filters(event)}")
    if evidence:
        title = "all evidence" if len(evidence) > FIRST else "the evidence"
        lines = "".join(_line(line, expression=True) for line in evidence)
        parts.append(f"<details><summary>{title}, and how to get the numbers</summary><ul>{lines}</ul></details>")
    return "".join(parts)


def _line(line: dict[str, Any], expression: bool = False) -> str:
    """One piece of evidence; where it speaks against the cause, it says so."""
    against = "" if line.get("for", True) else "<b>against it:</b> "
    code = f"<code>{escape(str(line['expression']))}</code>" if expression and line.get("expression") else ""
    return f"<li>{against}{escape(str(line.get('text', '')))}{code}</li>"


def pictures(run: Any, event: Event, most: int = MOST_PICTURES, size: int = 40) -> str:
    """Images whose answer changed at the event, as HTML; empty where there are none or no thumbnails."""
    view = first_set(run)
    shown = flipped(run, view, event, most) if view is not None else None
    if not shown:
        return ""
    names = class_names(run, str(view), 0)
    return f"<h3>Images whose answer changed</h3>{gallery([image.caption(names) for image in shown], size)}"


def _filters(event: Event) -> str:
    """Channels of an event, by layer."""
    layers: dict[str, list[str]] = {}
    for item in event["filters"][:MOST_FILTERS]:
        layers.setdefault(str(item["layer"]), []).append(str(item["channel"]))
    more = len(event["filters"]) - MOST_FILTERS
    rest = f" and {more} more" if more > 0 else ""
    lines = [f"{escape(layer)}: {escape(', '.join(channels))}" for layer, channels in layers.items()]
    return f"<div class='rate'>{'<br>'.join(lines)}{rest}</div>"


def _label(event: Event) -> str:
    """A label in words: what its evidence says, else its cause."""
    lines = event.get("evidence") or ()
    text = str(lines[0].get("text") or "") if lines else ""
    return escape(text or words.cause(event["cause"]))
