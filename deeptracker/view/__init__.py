"""Views of a run: Datasets become Bokeh figures that work in a notebook, on a server and in a saved page.

Nothing here makes a widget; every figure shares its iterations through a ``Timeline``. The colours mean the same
everywhere, see ``deeptracker.view.palettes``.
"""

from __future__ import annotations

from deeptracker.errors import MissingExtraError

try:
    import bokeh  # noqa: F401
    import PIL  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        f'views need Bokeh and Pillow ({error.name} is missing): pip install "deeptracker[view]"'
    ) from error

from deeptracker.view.pages import cube, layers, overview, validation

__all__ = ["cube", "layers", "overview", "validation"]
