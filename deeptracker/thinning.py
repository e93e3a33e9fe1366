"""Keeping a disk budget: which shards of a run may go, oldest first, and that they go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deeptracker.detect.carried import LOOKS_BACK
from deeptracker.errors import InputError, LockedRunError
from deeptracker.schema.indexed import BIN_SIZES
from deeptracker.store.space import bytes_on_disk, shard_bytes
from deeptracker.store.spans import Span
from deeptracker.store.thinning import delete_shards

if TYPE_CHECKING:
    from deeptracker.store import Run

BEFORE = max(512, LOOKS_BACK)
"""Records before an event that stay: what its scores were measured against. As many of the newest always stay."""

AFTER = 64
"""Records after an event that stay: its return to normal."""

_NEEDED = ("index", "anomalies")
_log = logging.getLogger("deeptracker")

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Budget:
    """What ``Recorder(disk_budget=…)`` asked for.

    Parameters
    ----------
    nbytes : how large the folder of the run may be. dense_last : the newest records, which stay in any case.
    """

    nbytes: int
    dense_last: int = 0


def budget_of(run: Run) -> Budget | None:
    """The run's disk budget, or None."""
    said = run.attributes.get("disk_budget")
    return None if not said else Budget(int(said["bytes"]), int(said.get("dense_last", 0)))


def is_due(run: Run) -> bool:
    """Whether the run has a budget, does not keep it, and something may go."""
    budget = budget_of(run)
    return budget is not None and bool(choose(run, budget, bytes_on_disk(run.path)))


def thin(run: Run, *, progress: Callable[[str, float], None] | None = None) -> Run:
    """Delete the oldest shards without events until the run keeps its disk budget, or nothing more may go.

    Parameters
    ----------
    run : indexed and searched for anomalies at the commit that it is frozen at.
    progress : called with what was done.

    Returns
    -------
    The run without them; the same where nothing was to be done, or where it is in use. That is said in one line, and
    so is a budget that cannot be kept.

    Raises
    ------
    InputError : the run has no disk budget, or its analysis is older than its log.
    """
    budget = budget_of(run)
    if budget is None:
        raise InputError(f"{run.path} has no disk budget to keep: give one to Recorder(disk_budget=…)")
    if not _is_analysed(run):
        raise InputError(f"{run.path}: its analysis is older than its log: run deeptracker analyze {run.path}")
    size = bytes_on_disk(run.path)
    chosen = choose(run, budget, size)
    freed = sum(span.nbytes for spans in chosen.values() for span in spans)
    try:
        thinned = delete_shards(run, chosen) if chosen else run
    except LockedRunError:
        _log.warning("%s is in use (recorded or analysed): it is thinned when it is analysed after that", run.path)
        return run
    if progress is not None:
        progress(f"thin: {freed / 1e6:.1f} MB of {size / 1e6:.1f} MB deleted", 1.0)
    if size - freed > budget.nbytes:
        _log.warning(
            "%s takes %.1f MB, its budget is %.1f MB: what is left are events, the newest records and the analysis",
            run.path, (size - freed) / 1e6, budget.nbytes / 1e6,
        )  # fmt: skip
    return thinned


def choose(run: Run, budget: Budget, size: int) -> dict[str, list[Span]]:
    """Shards that have to go for a run of ``size`` bytes to keep its budget, group by group, oldest first.

    ``filters/dense`` goes first, then ``filters/full``, ``filters/probe`` and raw weights. Nothing goes that the
    index does not hold in complete bins, none of the newest ``dense_last`` records (``BEFORE`` at least), and no
    shard with a row from ``BEFORE`` records before an event to ``AFTER`` records after it. Empty where the budget is
    kept, where nothing may go, and where the analysis is older than the log.
    """
    chosen: dict[str, list[Span]] = {}
    excess = size - budget.nbytes
    if excess <= 0 or not run.has("filters/dense") or not _is_analysed(run):
        return chosen
    iteration = run.dataset("filters/dense")["iteration"].values.astype(np.int64)
    covered = len(iteration) // BIN_SIZES[-1] * BIN_SIZES[-1]
    limit = min(covered, len(iteration) - max(budget.dense_last, BEFORE))
    if limit <= 0:
        return chosen
    kept = list(_kept(run, iteration))
    for group in _groups(run):
        for span in _free(run, group, int(iteration[limit]), kept):
            if excess <= 0:
                return chosen
            chosen.setdefault(group, []).append(span)
            excess -= span.nbytes
    return chosen


def _is_analysed(run: Run) -> bool:
    """Whether index and events tell of every record; only then is it known what may go."""
    made = all(run.stages.get(stage, {}).get("generation") == run.generation for stage in _NEEDED)
    if not made or not run.has(f"index/filters_{BIN_SIZES[-1]}") or not run.has("anomalies/iterations"):
        return False
    return "filter_maximum" in run.dataset("anomalies/iterations")


def _groups(run: Run) -> list[str]:
    raw = [group for group in run.groups if group.startswith("weights/")]
    return [
        group
        for group in ("filters/dense", "filters/full", "filters/probe", *sorted(raw, key=_number))
        if run.has(group)
    ]


def _number(group: str) -> int:
    return int(group.rpartition("/")[2])


def _kept(run: Run, iteration: Index) -> Iterator[tuple[int, int]]:
    """Iterations, first and last, around every event; labels are no events."""
    last = len(iteration) - 1
    for event in run.event_documents():
        if event["kind"] == "anomaly":
            first = int(np.searchsorted(iteration, event["iteration"])) - BEFORE
            past = int(np.searchsorted(iteration, event["end"], side="right")) + AFTER
            yield int(iteration[max(first, 0)]), int(iteration[min(past, last)])


def _free(run: Run, group: str, limit: int, kept: list[tuple[int, int]]) -> Iterator[Span]:
    """Whole shards of a group that are still there and may go: all rows before ``limit``, none among ``kept``."""
    growth = run.commit.groups[group]
    axis: Any = run.dataset(group)[growth.axis].values
    rows, needed = growth.shard_rows, np.zeros(len(axis), bool)
    for first, last in kept:
        needed |= (axis >= first) & (axis <= last)
    sizes = shard_bytes(run.path, run.commit, group)
    for number, nbytes in enumerate(sizes.tolist()):
        start, stop = number * rows, (number + 1) * rows
        if axis[stop - 1] >= limit:
            return
        gone = int(growth.thinned.covers(np.arange(start, stop)).sum())  # all, none, or the first (after a cut)
        if gone < rows and not needed[start + gone : stop].any():
            yield Span(start + gone, stop, nbytes)


__all__ = ["AFTER", "BEFORE", "Budget", "budget_of", "choose", "is_due", "thin"]
