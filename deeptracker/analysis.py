"""The stages in order, their plan, forecast and provenance: index → anomalies → correlation, then thinning."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask

from deeptracker.aggregate import Cost, Progress, build_index, index_cost
from deeptracker.cluster import connect
from deeptracker.correlate import correlate, correlation_cost
from deeptracker.detect import anomalies_cost, detect
from deeptracker.errors import InputError
from deeptracker.schema.derived import STAGES
from deeptracker.store import Run, open_run
from deeptracker.store.analysing import analysing
from deeptracker.store.faults import KEPT, told
from deeptracker.store.stage import load_stages, package_version
from deeptracker.thinning import budget_of, is_due, thin

if TYPE_CHECKING:
    from distributed import Client

STEPS = (*STAGES, "thin")
"""What an analysis can do, in order; "thin" only for runs with a disk budget."""

SMALL = 3 << 30
"""Bytes to read below which threads of this process do the work: workers would take longer to start. All stages read
about three times the log.
"""

_LIBRARIES = 400 << 20  # what a worker takes before it does anything
_KEPT = 128 << 20  # what it keeps at most of what was freed

_log = logging.getLogger("deeptracker")


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """What an analysis is about to cost.

    Parameters
    ----------
    stages : those that will run.
    cost : tasks, bytes that they read and write (uncompressed), and bytes of the arrays of the largest task.
    """

    stages: tuple[str, ...]
    cost: Cost

    @property
    def peak(self) -> int:
        """Bytes of a worker with one thread at its largest: its libraries, what it keeps of freed memory, and two
        tasks' arrays, since what one task lets go of is not at once there for the next.
        """
        return _LIBRARIES + _KEPT + 2 * self.cost.task_bytes

    def __str__(self) -> str:
        stages = ", ".join(self.stages)
        if not self.cost.tasks:
            return f"{stages}: reads no statistics"
        read, written, peak = (_size(value) for value in (self.cost.read, self.cost.written, self.peak))
        return f"{stages}: {self.cost.tasks} tasks, reads {read}, writes {written}, up to {peak} of memory a worker"


def _size(value: int) -> str:
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"


def analyze(
    run_or_path: Run | str | Path,
    *,
    stages: Sequence[str] | None = None,
    client: Client | None = None,
    reference: Sequence[Run | str | Path] = (),
    progress: Progress | None = None,
) -> Run:
    """Index a run, find what was unusual in it, and correlate weights with answers.

    Parameters
    ----------
    run_or_path : the run. What was recorded up to now is analysed; parts that it lacks are left out.
    stages : some of ``index``, ``anomalies``, ``correlation``, ``thin``: these are run whatever their state, and
        read the whole log. By default all, less those that are up to date, and the index of a run that has grown
        reads only what is new; ``thin`` only where the run has a disk budget.
    client : Dask client to work on; default: the active one, else threads of this process for small logs,
        else workers of its own on this machine.
    reference : earlier runs whose tails set the alarm levels.
    progress : called with what is being done and the share of it that is; first with the forecast.

    Returns
    -------
    The run with its derived stages, frozen at the commit that was analysed, or at the one that says what was thinned.

    Raises
    ------
    InputError : an unknown stage, or ``thin`` for a run without a disk budget. NotARunError : nothing at the path.
    MissingGroupError : nothing recorded yet. LockedRunError : another process analyses the run.
    """
    run = run_or_path if not isinstance(run_or_path, (str, Path)) else open_run(run_or_path)
    others = [other if not isinstance(other, (str, Path)) else open_run(other) for other in reference]
    if not plan(run, stages=stages, reference=others):
        return run
    with told(run.path, KEPT), analysing(run.path):
        # Another analysis may have ended since the run was opened: what it read is gone, what it made is there.
        if (now := load_stages(run.path)) != run.stages:
            run = dataclasses.replace(run, stages=now)
        due = plan(run, stages=stages, reference=others)
        if not due:
            return run
        expected = forecast(run, due, anew=stages is not None)
        _log.info("%s", expected)
        if progress is not None:
            progress(str(expected), 0.0)
        with scheduler(client, expected.cost.read):
            for stage in due:
                if stage == "thin":
                    run = thin(run, progress=progress)
                else:
                    run = _at(run, _perform(stage, run, others, stages is not None, progress))
    return run


def plan(run: Run, *, stages: Sequence[str] | None = None, reference: Sequence[Run] = ()) -> tuple[str, ...]:
    """Stages that an analysis would run, in their order.

    Raises
    ------
    InputError : a stage that does not exist.
    """
    if stages is not None:
        unknown = [stage for stage in stages if stage not in STEPS]
        if unknown:
            raise InputError(f"there is no stage {unknown[0]!r}: stages are {', '.join(STEPS)}")
        return tuple(stage for stage in STEPS if stage in stages)
    due: list[str] = []
    for stage in STAGES:
        if set(_inputs(stage)) & set(due) or not _up_to_date(run, stage, reference):
            due.append(stage)
    # What the stages that are due will find, and take on disk, tells only then what has to go.
    if (due and budget_of(run) is not None) or is_due(run):
        due.append("thin")
    return tuple(due)


def _inputs(stage: str) -> tuple[str, ...]:
    """Stages whose results a stage reads."""
    return ("anomalies",) if stage == "correlation" else ()


def _up_to_date(run: Run, stage: str, reference: Sequence[Run]) -> bool:
    """Whether a stage was made of what the run holds now, by this version of the package, with this reference."""
    made = run.stages.get(stage)
    if made is None or made["generation"] != run.generation or made["package_version"] != package_version():
        return False
    if stage == "anomalies" and made.get("reference", []) != [str(other.path) for other in reference]:
        return False
    inputs = made.get("inputs", {})
    return all(run.stages.get(name, {}).get("version") == version for name, version in inputs.items())


def forecast(run: Run, stages: Sequence[str], *, anew: bool = False) -> Forecast:
    """What the stages will cost, from metadata alone; ``anew``: also where the index could go on from the one before.

    Thinning reads no statistics. What the correlation reads of anomalies, and writes of mini-sets, depends on what is
    found: it is taken as if filters were calibrated, and without mini-sets.
    """
    cost = Cost()
    for stage in stages:
        if stage == "index":
            cost += index_cost(run, anew=anew)
        elif stage == "anomalies":
            cost += anomalies_cost(run)
        elif stage == "correlation":
            cost += correlation_cost(run)
    return Forecast(tuple(stages), cost)


def _perform(stage: str, run: Run, reference: Sequence[Run], anew: bool, progress: Progress | None) -> Run:
    if stage == "index":
        return build_index(run, anew=anew, progress=progress)
    if stage == "anomalies":
        return detect(run, reference=reference, progress=progress)
    return correlate(run, progress=progress)


def _at(run: Run, newer: Run) -> Run:
    """The new stages on the commit that is being analysed: a training that goes on must not change it half-way."""
    return dataclasses.replace(run, stages=newer.stages)


@contextmanager
def scheduler(client: Client | None, nbytes: int) -> Iterator[None]:
    """Where ``dask.compute`` runs inside the block."""
    client = client if client is not None else _active_client()
    if client is not None:
        with dask.config.set(scheduler=client):
            yield
    elif nbytes < SMALL:
        with dask.config.set(scheduler="threads"):
            yield
    else:
        with connect("local") as own, dask.config.set(scheduler=own):
            yield


def _active_client() -> Any:
    """The distributed client of this process or task, or None."""
    if "distributed" not in sys.modules:  # nobody can have made a client, and importing it takes a second
        return None
    from distributed import get_client

    try:
        return get_client()
    except ValueError:
        return None


__all__ = ["Forecast", "analyze", "forecast", "plan"]
