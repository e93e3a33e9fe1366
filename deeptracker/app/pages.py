"""From a path to a page: the explorer of a run, the catalogue of a folder, a live run, several runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import panel as pn
from bokeh.models import Div

from deeptracker.app.catalogue import catalogue_html
from deeptracker.app.compare import Compare
from deeptracker.app.explorer import Explorer
from deeptracker.app.frame import EXPLORER, LIVE, SINGLE, WIDE
from deeptracker.app.live import EVERY, Live
from deeptracker.app.order import keep_order
from deeptracker.errors import DeepTrackerError, InputError, NotARunError, RunError
from deeptracker.store import list_runs, open_run, place_of
from deeptracker.store.place import Place
from deeptracker.view.heading import note
from deeptracker.view.timeline import FONT


def page(path: str | Path) -> Any:
    """A Panel page for one session; ``.servable()`` puts it on a server.

    Parameters
    ----------
    path : a run, or a folder that holds runs. Within a folder, ``?run=NAME`` chooses one.

    Raises
    ------
    RunError : the path is neither a run nor a folder with runs.
    """
    if is_run(path):
        return explorer(open_run(path))
    chosen = _asked(path)
    return explorer(chosen[0]) if chosen else folder(place_of(path))


def live_page(path: str | Path) -> Any:
    """A page on a training that goes on; of a folder, ``?run=NAME`` chooses the run.

    Raises
    ------
    RunError : the path is neither a run nor a folder with runs.
    """
    if not is_run(path):
        chosen = _asked(path)
        if not chosen:
            return folder(place_of(path))
        path = str(chosen[0].path)
    view = Live(path)
    template = _template(LIVE, view.run.path.name)
    for name, part in (("head", view.head), ("status", view.status), ("alerts", view.alerts)):
        template.add_panel(name, pn.pane.Bokeh(part, sizing_mode="stretch_width", margin=0))
    template.add_panel("events", view.list)
    template.add_panel("band", view.band)
    template.add_panel("views", view.views)
    if (document := pn.state.curdoc) is not None:
        pn.state.add_periodic_callback(view.look, EVERY)
        pn.state.onload(view.enter)  # not for whoever asks for the page and never shows it
        document.on_session_destroyed(lambda session_context: view.leave())
    return template


def compare_page(paths: Sequence[str | Path]) -> Any:
    """A page on several runs side by side.

    Parameters
    ----------
    paths : runs, and folders of runs; of one folder, ``?run=NAME&run=NAME…`` chooses some of its runs.

    Raises
    ------
    RunError : a path is neither a run nor a folder with runs.
    """
    runs: list[Any] = []
    for path in paths:
        if is_run(path):
            runs.append(open_run(path))
        else:
            runs += _asked(path) or [open_run(place_of(path) / name) for name in list_runs(path)["name"]]
    try:
        view = Compare(runs, pn.state.session_args or {})
    except InputError as error:
        return message("compare", str(error))
    template = _template(WIDE, "compare")
    template.add_panel("head", _head(f"{len(runs)} runs"))
    template.add_panel("views", view.views)
    template.add_panel("address", view.address)
    return template


def told(name: str, make: Callable[[], Any]) -> Callable[[], Any]:
    """Makes a page, or one that says why there is none; Panel's own would show a traceback to every visitor."""

    def made() -> Any:
        try:
            return make()
        except DeepTrackerError as error:
            return message(name, str(error))
        except Exception:
            logging.getLogger(__name__).exception("a page could not be made")
            return message(name, "This page could not be made. The log of the server tells why.")

    return made


def is_run(path: str | Path) -> bool:
    """Whether a path is one run. RunError where it is neither a run nor a folder of runs."""
    try:
        open_run(path)
    except NotARunError:
        if not place_of(path).is_dir() or len(list_runs(path)) == 0:
            raise
        return False
    return True


def explorer(run: Any) -> Any:
    """The explorer page of an opened run; its address holds what is selected."""
    try:
        document = pn.state.curdoc
        view = Explorer(run, pn.state.session_args or {}, whole=document is None)
    except DeepTrackerError as error:  # a damaged part: said on the page, where the reader is
        return message(run.path.name, str(error))
    template = _template(EXPLORER, run.path.name)
    template.add_panel("head", pn.pane.Bokeh(view.head, sizing_mode="stretch_width"))
    template.add_panel("address", view.address)
    template.add_panel("chips", view.chips)
    controls = pn.Row(view.band.controls, pn.pane.Bokeh(view.band.copy), margin=0)
    template.add_panel("controls", controls)
    template.add_panel("events", view.list)
    template.add_panel("band", pn.pane.Bokeh(view.band.layout, sizing_mode="stretch_width", margin=0))
    template.add_panel("sight", view.sight)
    for name, part in view.views.items():
        template.add_panel(name, part)
    if document is not None:

        def later(piece: Callable[[], None]) -> None:
            def unless_left() -> None:
                session = document.session_context.session
                if session is None or session.connection_count:
                    piece()

            document.add_next_tick_callback(unless_left)

        view.later = later
        pn.state.onload(view.complete)
    return template


def folder(path: Place) -> Any:
    """The catalogue of a folder."""
    template = _template(SINGLE, path.name)
    template.add_panel("head", _head(path.name))
    template.add_panel("views", pn.pane.HTML(catalogue_html(list_runs(path)), sizing_mode="stretch_width"))
    return template


def message(name: str, text: str) -> Any:
    """A page that says why there is no other."""
    template = _template(SINGLE, name)
    template.add_panel("head", _head(name))
    template.add_panel("views", pn.pane.Bokeh(note(escape(text)), sizing_mode="stretch_width"))
    return template


def _asked(path: str | Path) -> list[Any]:
    """Runs of a folder that the address names: names from the list, never paths from the address."""
    wanted = [name.decode("utf-8", "replace") for name in (pn.state.session_args or {}).get("run", [])]
    if not wanted:
        return []
    known = set(list_runs(path)["name"])
    return [open_run(place_of(path) / name) for name in dict.fromkeys(wanted) if name in known]


def _template(text: str, name: str) -> Any:
    keep_order()
    template = pn.Template(text)
    template.title = f"DeepTracker · {name}"
    return template


def _head(name: str) -> Any:
    head = f'<div style="font-family:{FONT};color:#fff"><b>DeepTracker</b> · {escape(name)}</div>'
    return pn.pane.Bokeh(Div(text=head), sizing_mode="stretch_width")


__all__ = ["RunError", "compare_page", "explorer", "folder", "is_run", "live_page", "message", "page", "told"]
