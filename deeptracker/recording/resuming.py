"""How a recording lies to what its path already holds: it goes on, cuts back, or goes to another path."""

from __future__ import annotations

import itertools
from typing import Any

from deeptracker.recording.guard import say
from deeptracker.sink import Sink
from deeptracker.store import LogWriter
from deeptracker.store.place import Place


def settle(sink: Sink, path: Place, step: int, flush_secs: float) -> tuple[Sink, Any]:
    """Where the first row of this session goes, ``step`` being its number.

    Rows at or past ``step`` are dropped; a training that starts from the beginning goes to ``path-2``, ``path-3``, ….
    """
    last, first = sink.last("scalars"), sink.first("scalars")
    if first is not None and step <= first:
        sink.close()
        free = _next_free(path)
        say(f"{path} already holds a run from its start on; this one goes to {free}")
        return LogWriter(free, resume=False, flush_secs=flush_secs), free
    if last is not None and step <= last:
        say(f"{path}: resumed at {step}; what was recorded from there to {last} is dropped")
    # Also where nothing reaches that far: a kill can leave some groups one row ahead of the scalars, be it the first.
    sink.cut(step)
    return sink, path


def _next_free(path: Place) -> Any:
    candidates = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(candidate for candidate in candidates if not candidate.exists())


__all__ = ["settle"]
