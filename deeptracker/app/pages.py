"""From a path to a page: the explorer for a run, the catalogue for a folder of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import panel as pn
from bokeh.models import Div

from deeptracker.app.catalogue import catalogue_html
from deeptracker.app.explorer import Explorer
from deeptracker.app.frame import EXPLORER, SINGLE
from deeptracker.errors import NotARunError, RunError
from deeptracker.store import list_runs, open_run, place_of
from deeptracker.store.place import Place
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
    return explorer(open_run(path)) if is_run(path) else folder(place_of(path))


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
    view = Explorer(run, pn.state.session_args or {})
    template = pn.Template(EXPLORER)
    template.add_variable("app_title", f"DeepTracker · {run.path.name}")
    template.add_panel("head", pn.pane.Bokeh(view.head(), sizing_mode="stretch_width"))
    template.add_panel("address", view.address)
    template.add_panel("chips", view.chips)
    controls = pn.Row(view.band.controls, pn.pane.Bokeh(view.band.copy), margin=0)
    template.add_panel("controls", controls)
    template.add_panel("events", view.list)
    template.add_panel("band", pn.pane.Bokeh(view.band.layout, sizing_mode="stretch_width", margin=0))
    template.add_panel("views", view.views)
    template.title = f"DeepTracker · {run.path.name}"
    return template


def folder(path: Place) -> Any:
    """The catalogue of a folder; with ``?run=NAME`` in the address, that run's explorer."""
    wanted = (pn.state.session_args or {}).get("run")
    if wanted:
        name = wanted[0].decode("utf-8", "replace")
        known = set(list_runs(path)["name"])
        if name in known:  # a name from the list, never a path from the address
            return explorer(open_run(path / name))
    template = pn.Template(SINGLE)
    template.title = f"DeepTracker · {path.name}"
    head = f'<div style="font-family:{FONT};color:#fff"><b>DeepTracker</b> · {path.name}</div>'
    template.add_panel("head", pn.pane.Bokeh(Div(text=head), sizing_mode="stretch_width"))
    template.add_panel("views", pn.pane.HTML(catalogue_html(list_runs(path)), sizing_mode="stretch_width"))
    return template


__all__ = ["RunError", "explorer", "folder", "is_run", "page"]
