"""Pages in the browser: the explorer of a run, and the catalogue of a folder of runs, on Panel."""

from __future__ import annotations

from deeptracker.errors import MissingExtraError

try:
    import bokeh  # noqa: F401
    import panel  # noqa: F401
except ImportError as error:
    raise MissingExtraError(f'pages need Panel ({error.name} is missing): pip install "deeptracker[view]"') from error

from deeptracker.app.pages import compare_page, live_page, page
from deeptracker.app.server import serve

__all__ = ["compare_page", "live_page", "page", "serve"]
