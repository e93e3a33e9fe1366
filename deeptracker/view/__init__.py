"""Views of a run: Datasets become Bokeh figures that work in a notebook, on a server and in a saved page.

Nothing here makes a widget; every figure shares its iterations through a ``Timeline``. The colours mean the same
everywhere, see ``deeptracker.view.palettes``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from deeptracker.errors import MissingExtraError

try:
    import bokeh  # noqa: F401
    import PIL  # noqa: F401
    import re2  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        f'views need Bokeh, Pillow and RE2 ({error.name} is missing): pip install "deeptracker[view]"'
    ) from error

if TYPE_CHECKING:
    from deeptracker.view import elements
from deeptracker.view.pages import cube, layers, overview, validation

__all__ = ["cube", "elements", "layers", "overview", "validation"]


def __getattr__(name: str) -> Any:
    if name == "elements":  # HoloViews and Datashader take seconds to import
        return importlib.import_module("deeptracker.view.elements")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
