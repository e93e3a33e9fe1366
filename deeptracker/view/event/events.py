"""The ranked events of a run as the views use them: anomalies and labels apart, and the range that each one opens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptracker.errors import MissingGroupError
from deeptracker.screen import coordinate

Event = dict[str, Any]


def documents(run: Any) -> list[Event] | None:
    """All events and labels of a run; None where it was not analysed."""
    try:
        return list(run.event_documents())
    except MissingGroupError:
        return None


def anomalies(run: Any) -> list[Event]:
    """Ranked events, strongest first."""
    return sorted((e for e in documents(run) or [] if e["kind"] != "label"), key=lambda e: int(e["rank"]))


def labels(run: Any) -> list[Event]:
    """What was known beforehand (learning-rate drops), in order of time."""
    return sorted((e for e in documents(run) or [] if e["kind"] == "label"), key=lambda e: int(e["iteration"]))


def _recorded(run: Any) -> list[NDArray[np.int64]]:
    """Iterations of scalars, filters, layers and validation passes, of those that there are."""
    groups = [g for g in ("scalars", "filters/dense", "layers/dense") if run.has(g)]
    found = [coordinate(run, group, "iteration") for group in groups]
    found += [coordinate(run, f"validation/{name}", "validation") for name in run.validation_sets]
    return [iteration for iteration in found if len(iteration)]


def extent(run: Any) -> tuple[int, int]:
    """First and last recorded iteration, over scalars, filters and validation passes; (0, 1) for an empty run."""
    found = _recorded(run)
    if not found:
        return 0, 1
    start, stop = min(int(e[0]) for e in found), max(int(e[-1]) for e in found)
    return start, max(stop, start + 1)


def reach(run: Any) -> tuple[int, int]:
    """The iterations that a picture covers: what is recorded last counts as long as what came before it."""
    start, stop = extent(run)
    steps = [int(np.median(np.diff(e))) for e in _recorded(run) if len(e) > 1 and int(e[-1]) == stop]
    return start, stop + min(steps, default=0)


def around(run: Any, event: Event, share: float = 0.06) -> tuple[float, float]:
    """The range of iterations to look at: the event with room on both sides, at least a few passes and records."""
    first, last = extent(run)
    onset = int(event["iteration"])
    end = max(onset, int(event["end"]) if event.get("end") is not None else onset)
    room = max((last - first) * share, (end - onset) * 0.6, 10)
    return max(float(first), onset - room), min(float(last), end + room)
