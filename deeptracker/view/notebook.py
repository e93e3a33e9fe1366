"""In a notebook a view is shown where it is the last word of a cell; nothing has to be loaded first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache, wraps
from html import escape
from typing import Any, ParamSpec

from bokeh.embed import components
from bokeh.models import LayoutDOM
from bokeh.resources import Resources

from deeptracker.view.behaviour import SCRIPT
from deeptracker.view.frame import STYLE

OURS = "deeptracker"
"""Tag of the layouts that are shown; others are left to whoever made them."""
PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>DeepTracker</title>
<script>{library}</script><style>{style} html, body {{ height: auto; background: #fff; }}</style></head>
<body><div class="dt-wide">{div}</div>{script}<script>{behaviour}</script>
<script>
  const fit = () => {{ frameElement.style.height = document.querySelector('.dt-wide').offsetHeight + 8 + 'px' }}
  if (window.frameElement) new ResizeObserver(fit).observe(document.querySelector('.dt-wide'))
</script></body></html>"""
FIRST_HEIGHT = 420
"""Pixels until the view has said how high it is."""
Given = ParamSpec("Given")


def shown(make: Callable[Given, Any]) -> Callable[Given, Any]:
    """Let a notebook show what a function returns."""

    @wraps(make)
    def made(*args: Given.args, **named: Given.kwargs) -> Any:
        layout = make(*args, **named)
        layout.tags = [*layout.tags, OURS]
        _register()
        return layout

    return made


def html(layout: Any) -> str:
    """A view as a frame that holds all it needs and asks the network for nothing; some 2 MB."""
    script, div = components(layout)
    page = PAGE.format(library=_library(), style=STYLE, div=div, script=script, behaviour=SCRIPT)
    style = f"width:100%;height:{FIRST_HEIGHT}px;border:0"
    return f'<iframe srcdoc="{escape(page)}" style="{style}" title="DeepTracker"></iframe>'


@lru_cache(1)
def _library() -> str:
    return "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).js_raw)


def _formatted(layout: Any) -> str:
    """For IPython: the views of this package, and of all other layouts what Bokeh itself shows."""
    return html(layout) if OURS in layout.tags else str(layout._repr_html_())


def _register() -> None:
    """Tell IPython, where this process is one, how layouts are shown."""
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python is not None else None
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(LayoutDOM, _formatted)


__all__ = ["html", "shown"]
