"""A training while it runs: what was recorded is on the screen seconds later, new events come as alerts."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from html import escape
from typing import Any

import panel as pn
from bokeh.models import Div

from deeptracker.app.context import context, pane
from deeptracker.app.event_list import EventList
from deeptracker.app.watching import Watch, watch
from deeptracker.errors import DeepTrackerError
from deeptracker.screen import extent, sizes
from deeptracker.store import open_run
from deeptracker.store.catalogue import state as state_of
from deeptracker.view import pages, palettes, words
from deeptracker.view.answers.classes import ClassRows
from deeptracker.view.band.overview import overview
from deeptracker.view.event import cards
from deeptracker.view.frame import head_html
from deeptracker.view.heading import FULL, heading, note
from deeptracker.view.network.strips import Strips
from deeptracker.view.timeline import FONT

EVERY = 1500
"""Milliseconds between two looks at the run."""
PATIENCE = 1
"""A look is followed by a pause so many times as long: the server has other sessions, too."""


class Live:
    """One session's page on a run that grows.

    Parameters
    ----------
    path : of the run. watched : who analyses it; default: a process that all sessions of this server share,
        there as long as one of them has entered.
    """

    def __init__(self, path: Any, watched: Watch | None = None) -> None:
        self.run = open_run(path)
        self.watch = watched if watched is not None else watch(str(self.run.path))
        self.updates, self.problem, self.alerted, self.pause = -1, "", len(self.watch.alerts), 0.0
        self.shown = False
        self.status = Div(text="", sizing_mode="stretch_width", stylesheets=[FULL], name="live-status")
        self.alerts = Div(text="", sizing_mode="stretch_width", stylesheets=[FULL], name="live-alerts")
        self.head = Div(text="", sizing_mode="stretch_width", margin=0, stylesheets=[FULL])
        self.list = EventList(sizing_mode="stretch_width", margin=0)
        self.views = pn.Column(sizing_mode="stretch_width", margin=0)
        self.band = pn.Column(sizing_mode="stretch_width", margin=0)
        self.strips: Strips | None = None
        self._build()
        self._tell()

    def enter(self) -> None:
        """A browser shows the page: its run is analysed from now on."""
        self.shown = True
        self.watch.join()

    def leave(self) -> None:
        """The page is gone."""
        if self.shown:
            self.shown = False
            self.watch.leave()

    def _build(self) -> None:
        """All figures anew: when the run gains a part that it did not have."""
        self.parts = self._there()
        self.context = context(self.run)
        self.timeline = self.context.timeline
        self.overview = overview(self.run, self.timeline)
        self.band[:] = [pane(self.overview.layout)]
        layers: list[Any] = [pane(note(pages.missing_layers(self.run)))] if not self.parts[0] else []
        self.strips = Strips(self.run, self.timeline) if self.parts[0] else None
        if self.strips is not None:
            top = heading("Layers", pages.layers_text(self.run), [self.strips.scale])
            layers = [pane(top), *(pane(plot) for plot in self.strips.figures)]
        self.classes = pn.Column(sizing_mode="stretch_width", margin=0)
        self.views[:] = [*layers, self.classes]
        self._draw_classes()

    def _there(self) -> tuple[bool, bool]:
        """Whether there are records of layers, and passes."""
        rows = [sizes(self.run, group).get("iteration", 0) for group in ("filters/dense", "layers/dense")]
        layers = not pages.missing_layers(self.run) and max(rows) > 0
        return layers, not pages.missing_validation(self.run)

    def _draw_classes(self) -> None:
        view = self.context.view
        if not self.parts[1] or view is None:
            self.classes[:] = [pane(note(pages.missing_validation(self.run)))]
            return
        rows = ClassRows(self.run, view, self.timeline)
        top = heading("Classes", pages.VALIDATION, [rows.scale], pages.class_signs())
        self.classes[:] = [pane(top), pane(rows.plot)]

    def look(self) -> bool:
        """Take in what was committed since, and what the analysis found; whether there was anything."""
        if time.monotonic() < self.pause:
            return False
        began = time.monotonic()
        try:
            now = open_run(self.run.path)
        except (DeepTrackerError, OSError) as error:
            self.status.text = _line(f"<b>The run cannot be read:</b> {escape(str(error))}")
            return False
        grown = now.generation != self.run.generation
        if grown:
            passes = self._passes()
            self.run = now
            if self._there() != self.parts:
                self._build()
            else:
                self.timeline.grow(now)
                self.overview.grow(now)
                if self.strips is not None:
                    self.strips.grow(now)
                if self._passes() != passes:
                    self._draw_classes()
        if grown or (self.updates, self.problem) != (self.watch.updates, self.watch.problem):
            self._tell()
        self.pause = time.monotonic() + PATIENCE * (time.monotonic() - began)
        return grown

    def _passes(self) -> int:
        return sizes(self.run, f"validation/{self.context.view}").get("validation", 0)

    def _tell(self) -> None:
        """The list, the alerts, and how far behind all of it is."""
        self.updates, self.problem = self.watch.updates, self.watch.problem
        events = [e for e in self.watch.told if e["kind"] != "label"]
        found = self.watch.told if self.watch.updates else []
        self.list.param.update(
            cards=[cards.card(self.run, event, shows=False) for event in events],
            before=_above(self.watch, events),
            after=cards.below([e for e in found if e["kind"] == "label"]),
        )
        fresh = [one for one in self.watch.alerts[self.alerted :] if one[1]["kind"] != "label"]
        self.alerts.text = "".join(_alert(event) for _, event in reversed(fresh[-4:]))
        self.status.text = _line(_status(self.run, self.watch))
        self.head.text = head_html(self.run)


def _status(run: Any, watched: Watch) -> str:
    live = state_of(run)
    colour = palettes.GAIN if live == "live" else palettes.MUTED
    known = [reached for group in ("filters/dense", "scalars") if run.has(group) and (reached := extent(run, group))]
    newest = f"iteration {max(last for _, last in known):,}" if known else "nothing recorded yet"
    analysed = "not analysed yet"
    if watched.updates:
        analysed = f"analysed to {watched.iteration:,} in {watched.seconds:.1f} s"
    problem = f" · <b>{escape(watched.problem)}</b>" if watched.problem else ""
    at = datetime.now(UTC).strftime("%H:%M:%S")
    return f'<b style="color:{colour}">● {escape(live)}</b> · {newest} · {analysed} · looked at {at} UTC{problem}'


def _above(watched: Watch, events: list[Any]) -> str:
    title = "<h2>What was unusual</h2>"
    if not watched.updates:
        return f"{title}<div class='empty'>{escape(watched.problem) or 'The first analysis is under way.'}</div>"
    if not events:
        return f"{title}<div class='empty'>Nothing so far. The first 300 records set the alarm level.</div>"
    return f"{title}<p class='lead'>{words.count(len(events), 'event')} by now, strongest first.</p>"


def _alert(event: dict[str, Any]) -> str:
    return (
        f'<div role="alert" style="font:13px {FONT};background:{palettes.SELECTED};color:#fff;border-radius:6px;'
        f'padding:7px 12px;margin:4px 0"><b>{escape(words.cause(event["cause"]))}</b> at iteration '
        f"{words.when(event)} · {escape(words.where(event))}</div>"
    )


def _line(text: str) -> str:
    return f'<div style="font:12px {FONT};color:{palettes.MUTED};padding:4px 0">{text}</div>'


__all__ = ["EVERY", "Live"]
