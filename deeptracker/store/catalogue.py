"""The runs of a folder, one row each, from their markers alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from deeptracker.errors import DeepTrackerError, NotARunError
from deeptracker.store.commit import holds_run
from deeptracker.store.layout import LOCK
from deeptracker.store.place import Place, place_of
from deeptracker.store.run import Run, open_run
from deeptracker.store.space import bytes_on_disk

COLUMNS = ("name", "iterations", "layers", "filters", "passes", "images", "bytes", "state", "started", "committed")


def state(run: Run) -> str:
    """``live`` while a writer holds the run, ``closed`` after its close, ``interrupted`` where it never closed."""
    if (run.path / LOCK).is_locked():
        return "live"
    return "closed" if run.commit.closed else "interrupted"


def summary(run: Run) -> dict[str, Any]:
    """The figures of a run that its marker knows; costs nothing however long the run is."""
    groups = run.commit.groups
    filters, layers = groups.get("filters/dense"), groups.get("layers/dense")
    passes = [growth for path, growth in groups.items() if path.startswith("validation/")]
    scalars = groups.get("scalars")
    steps = [growth.last for growth in (scalars, filters) if growth is not None and growth.last is not None]
    return {
        "name": run.path.name,
        "iterations": filters.rows if filters else 0,
        "last": max(steps) if steps else None,
        "layers": layers.columns["w_rms"].shape[0] if layers and "w_rms" in layers.columns else 0,
        "filters": filters.columns["w_rms"].shape[0] if filters and "w_rms" in filters.columns else 0,
        "passes": max((growth.rows for growth in passes), default=0),
        "images": max((growth.columns["correct"].shape[0] for growth in passes if growth.rows), default=0),
        "bytes": bytes_on_disk(run.path),
        "state": state(run),
        "started": _moment(run.attributes.get("started")),
        "committed": run.commit.when,
    }


def _moment(seconds: object) -> str:
    """Seconds since 1970 as ISO 8601 in UTC; empty where a recording did not say."""
    if not isinstance(seconds, int | float) or not seconds:
        return ""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a clock that was set to no year that there is
        return ""


def list_runs(folder: str | Path | Place) -> pd.DataFrame:
    """The runs directly below a folder, by name. A run that cannot be opened says why in ``state``.

    Raises
    ------
    NotARunError
        There is no such folder.
    """
    place = place_of(folder)
    if not place.is_dir():
        raise NotARunError(f"{place} is not a folder: give the folder that holds the runs")
    found = place.at_once(_row, sorted(place.iterdir(), key=lambda child: child.name))
    return pd.DataFrame([row for row in found if row is not None], columns=COLUMNS)


def _row(child: Place) -> dict[str, Any] | None:
    if not holds_run(child):
        return None
    try:
        return summary(open_run(child))
    except DeepTrackerError as error:
        return {"name": child.name, "state": str(error)}


__all__ = ["bytes_on_disk", "list_runs", "state", "summary"]
