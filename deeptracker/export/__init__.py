"""Taking results elsewhere: one HTML file, a picture, a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from deeptracker.errors import InputError, MissingExtraError

try:
    import PIL  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        f'exports need Pillow ({error.name} is missing): pip install "deeptracker[view]"'
    ) from error

from deeptracker.export.picture import figure
from deeptracker.export.report import report
from deeptracker.export.table import table

KINDS: dict[str, Callable[..., Path]] = {
    ".html": report,
    ".htm": report,
    ".png": figure,
    ".svg": figure,
    ".parquet": table,
    ".csv": table,
}


def export(run: Any, to: str | Path, **options: Any) -> Path:
    """A report (``.html``), a picture (``.png``, ``.svg``) or a table (``.parquet``, ``.csv``), as the name ends.

    Parameters
    ----------
    run : an opened run.
    to : file to write; an existing one is replaced.
    options : of ``figure`` for a picture (``what``, ``dpi``, …), of ``table`` for a table (``group``).

    Returns
    -------
    The file.

    Raises
    ------
    InputError : the name ends in something else, or its folder does not exist.
    """
    path = Path(to).expanduser()
    if path.suffix.lower() not in KINDS:
        raise InputError(f"{path}: cannot tell what to write: end the name in {', '.join(KINDS)}")
    return KINDS[path.suffix.lower()](run, path, **options)


__all__ = ["export", "figure", "report", "table"]
