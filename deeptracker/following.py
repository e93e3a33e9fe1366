"""Analyses of a training that goes on: again and again, and what each found that none before it had."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeptracker.aggregate import Progress
from deeptracker.analysis import analyze, forecast, scheduler
from deeptracker.detect import detect
from deeptracker.detect.carried import LOOKS_BACK
from deeptracker.detect.events import rank
from deeptracker.errors import InputError, LockedRunError, MissingGroupError
from deeptracker.store import Run, open_run
from deeptracker.store.analysing import analysing
from deeptracker.store.catalogue import state
from deeptracker.store.recent import ASIDE, Recent

if TYPE_CHECKING:
    from distributed import Client

Event = dict[str, Any]

RECORDS, PASSES = 2_000, 400
_PATIENCE = 1.0
LEAST = 2 * LOOKS_BACK
"""Records of which half are judged; levels need 300."""


@dataclass(frozen=True, slots=True)
class Update:
    """One analysis.

    Attributes
    ----------
    run : as it was analysed.
    iteration : the newest that was recorded by then; −1 where no filter was.
    told : events and labels up to now, strongest first.
    new : those that no analysis before this one had.
    gone : events that were told before and that this one no longer finds: what looked unusual is not, seen with more
        of the training.
    seconds : that the analysis took; by so much at most, and by what passes between two of them, it is behind.
    """

    run: Run
    iteration: int
    told: list[Event]
    new: list[Event]
    gone: list[Event]
    seconds: float


def follow(
    path: str | Path,
    *,
    every: float = 5.0,
    records: int = RECORDS,
    client: Client | None = None,
    reference: Sequence[Run | str | Path] = (),
    progress: Progress | None = None,
) -> Iterator[Update]:
    """Analyse a run whenever it has grown, until its training has ended and all of it is analysed.

    Parameters
    ----------
    path : of the run; it may be recorded by another process, on another machine too where it lies in a bucket.
    every : seconds from the beginning of one analysis to that of the next, at least.
    records : of a longer run only so many of the newest are looked at while it goes on, and 400 validation passes, so
        that an update takes no longer however long the run is. Its stages are made when it has ended, or by
        ``analyze``.
    client, reference, progress : as of ``analyze``.

    Yields
    ------
    Update
        After each analysis. What rests on later answers too, the right rule, comes in when these are there: an event
        may gain classes and evidence, which is no new event; ``run.event_documents()`` has them as they are now.

    Raises
    ------
    InputError
        ``every`` is not positive. And whatever ``analyze`` raises, but for a live run that holds nothing yet; an
        analysis of somebody else is waited for.

    Notes
    -----
    While a run is no longer than ``records``, each update is an analysis of all of it. After that the alarm level
    comes from the newest records alone, and what was told of the older ones stays as it was told.
    """
    if not every > 0:
        raise InputError(f"every={every:g}: seconds between two analyses must be more than 0")
    if records < LEAST:
        raise InputError(f"records={records}: fewer than {LEAST} records set no alarm level")
    told: list[Event] = []
    analysed, wholly = -1, True
    while True:
        began = time.monotonic()
        live = state(open_run(path)) == "live"  # asked first: what is committed after it comes with the next turn
        run = open_run(path)
        if run.generation != analysed or not (live or wholly):
            try:
                analysed = run.generation
                wholly = not live or _rows(run) <= records
                if not wholly:
                    now = recent_events(run, records, told, client, reference, progress)
                else:
                    run = analyze(run, client=client, reference=reference, progress=progress)
                    analysed, now = run.generation, _events(run)
            except MissingGroupError:
                if not live:
                    raise
            except LockedRunError:  # somebody else analyses it just now: what that makes is told at the next turn
                analysed = -1
                if not live:
                    time.sleep(min(every, _PATIENCE))
            else:
                if live:  # of a run too short for an alarm level most would go again
                    now = [e for e in now if e["kind"] == "label" or e["false_per_1000"] is not None]
                new = [event for event in now if not any(_same(event, other) for other in told)]
                gone = [event for event in told if not any(_same(event, other) for other in now)]
                told = now
                yield Update(run, _newest(run), now, new, gone, time.monotonic() - began)
        if not live:
            if run.generation == analysed == open_run(path).generation:
                return
            continue
        time.sleep(max(0.0, began + every - time.monotonic()))


def recent_events(
    run: Run,
    records: int,
    told: Sequence[Event] = (),
    client: Client | None = None,
    reference: Sequence[Run | str | Path] = (),
    progress: Progress | None = None,
) -> list[Event]:
    """Events of the newest ``records`` that have all before them that their scores look back on; told ones before."""
    others = [other if isinstance(other, Run) else open_run(other) for other in reference]
    recent = Recent.of(run, records, PASSES)
    # Two who follow one run make the same aside, one after the other.
    with analysing(run.path / ASIDE), scheduler(client, forecast(recent, ("anomalies",)).cost.read):
        found = _events(detect(recent, reference=others, progress=progress))
        recent.remove()
    since = int(recent.dataset("filters/dense")["iteration"].values[LOOKS_BACK])
    kept = [event for event in told if event["iteration"] < since]
    # What began before and goes on was told: its rest, seen from here, is no other event.
    fresh = [e for e in found if e["iteration"] >= since and not any(_same(e, other) for other in kept)]
    return rank(kept + fresh)


def _events(run: Run) -> list[Event]:
    return run.event_documents() if run.has("anomalies/events") else []


def _rows(run: Run) -> int:
    dense = run.commit.groups.get("filters/dense")
    return 0 if dense is None else dense.rows


def _same(one: Event, other: Event) -> bool:
    """Whether two analyses tell of the same: it overlaps in time; what else it is may have become clearer."""
    if one["kind"] != other["kind"]:
        return False
    return bool(one["iteration"] <= other["end"] and other["iteration"] <= one["end"])


def _newest(run: Run) -> int:
    grown = run.commit.groups.get("filters/dense") or run.commit.groups.get("scalars")
    return -1 if grown is None or grown.last is None else int(grown.last)


__all__ = ["RECORDS", "Update", "follow", "recent_events"]
