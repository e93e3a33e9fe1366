"""Analyses of a training that goes on: again and again, and what each found that none before it had."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeptracker.aggregate import Progress
from deeptracker.analysis import analyze
from deeptracker.errors import InputError, LockedRunError, MissingGroupError
from deeptracker.store import Run, open_run
from deeptracker.store.catalogue import state

if TYPE_CHECKING:
    from distributed import Client

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """One analysis.

    Attributes
    ----------
    run : as it was analysed.
    iteration : the newest that was recorded by then; −1 where no filter was.
    new : events and labels that no analysis before this one had, strongest first.
    gone : events that were told before and that this one no longer finds: what looked unusual is not, seen with more
        of the training.
    seconds : that the analysis took; by so much at most, and by what passes between two of them, it is behind.
    """

    run: Run
    iteration: int
    new: list[Event]
    gone: list[Event]
    seconds: float


def follow(
    path: str | Path,
    *,
    every: float = 5.0,
    client: Client | None = None,
    reference: Sequence[Run | str | Path] = (),
    progress: Progress | None = None,
) -> Iterator[Update]:
    """Analyse a run whenever it has grown, until its training has ended and all of it is analysed.

    Parameters
    ----------
    path : of the run; it may be recorded by another process, on another machine too where it lies in a bucket.
    every : seconds from the beginning of one analysis to that of the next, at least.
    client, reference, progress : as of ``analyze``.

    Yields
    ------
    Update
        After each analysis. What rests on later answers too, the right rule, comes in when these are there: an event
        may gain classes and evidence, which is no new event; ``run.event_documents()`` has them as they are now.

    Raises
    ------
    InputError
        ``every`` is not positive. And whatever ``analyze`` raises, but for a live run that holds nothing yet, or that
        somebody else is analysing.

    Notes
    -----
    The index reads only what is new. Scores and events are found anew in the whole log: an analysis takes as long as
    one of the finished training.
    """
    if not every > 0:
        raise InputError(f"every={every:g}: seconds between two analyses must be more than 0")
    told: list[Event] = []
    analysed = -1
    while True:
        began = time.monotonic()
        live = state(open_run(path)) == "live"  # asked first: what is committed after it comes with the next turn
        run = open_run(path)
        if run.generation != analysed:
            try:
                run = analyze(run, client=client, reference=reference, progress=progress)
                analysed = run.generation
            except MissingGroupError:
                if not live:
                    raise
                analysed = run.generation
            except LockedRunError:  # somebody else analyses it just now
                if not live:
                    raise
            else:
                now = _events(run, live)
                new = [event for event in now if not any(_same(event, other) for other in told)]
                gone = [event for event in told if not any(_same(event, other) for other in now)]
                told = now
                yield Update(run, _newest(run), new, gone, time.monotonic() - began)
        if not live:
            if run.generation == analysed == open_run(path).generation:
                return
            continue
        time.sleep(max(0.0, began + every - time.monotonic()))


def _events(run: Run, live: bool) -> list[Event]:
    """Those that are told: of a run too short for an alarm level only when it is over, since most would go again."""
    found = run.event_documents() if run.has("anomalies/events") else []
    return [event for event in found if not live or event["kind"] == "label" or event["false_per_1000"] is not None]


def _same(one: Event, other: Event) -> bool:
    """Whether two analyses tell of the same: it overlaps in time; what else it is may have become clearer."""
    if one["kind"] != other["kind"]:
        return False
    return bool(one["iteration"] <= other["end"] and other["iteration"] <= one["end"])


def _newest(run: Run) -> int:
    grown = run.commit.groups.get("filters/dense") or run.commit.groups.get("scalars")
    return -1 if grown is None or grown.last is None else int(grown.last)


__all__ = ["Update", "follow"]
