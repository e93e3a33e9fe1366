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

from deeptracker.aggregate import Progress, build_index
from deeptracker.cluster import connect
from deeptracker.correlate import correlate
from deeptracker.detect import detect
from deeptracker.errors import InputError
from deeptracker.schema.derived import STAGES
from deeptracker.store import Run, open_run
from deeptracker.store.stage import package_version
from deeptracker.thinning import budget_of, is_due, thin

if TYPE_CHECKING:
    from distributed import Client

STEPS = (*STAGES, "thin")
"""What an analysis can do, in order; "thin" only for runs with a disk budget."""

SMALL = 1 << 30
"""Logs below this many bytes are analysed by threads of this process: workers would take longer to start."""

_log = logging.getLogger("deeptracker")


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """What an analysis is about to cost.

    Parameters
    ----------
    stages : those that will run. nbytes : bytes of the log, uncompressed. tasks : Dask tasks, roughly.
    """

    stages: tuple[str, ...]
    nbytes: int
    tasks: int

    def __str__(self) -> str:
        if not self.tasks:
            return f"{', '.join(self.stages)}: reads no statistics"
        size = f"{self.nbytes / 1e9:.1f} GB" if self.nbytes >= 1e9 else f"{self.nbytes / 1e6:.1f} MB"
        return f"{', '.join(self.stages)}: reads {size}, about {self.tasks} tasks"


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
    client : Dask client to work on; default: the active one, else threads of this process for logs below 1 GiB,
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
    due = plan(run, stages=stages, reference=others)
    if not due:
        return run
    expected = forecast(run, due)
    _log.info("%s", expected)
    if progress is not None:
        progress(str(expected), 0.0)
    with _scheduler(client, expected.nbytes):
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


def forecast(run: Run, stages: Sequence[str]) -> Forecast:
    """Bytes that the stages will read of the log, and how many tasks that makes; from metadata alone."""
    reading = [stage for stage in stages if stage != "thin"]
    if not reading:
        return Forecast(tuple(stages), 0, 0)
    nbytes = chunks = 0
    for group in run.groups:
        if group.split("/")[0] in ("filters", "layers", "validation"):
            table = run.dataset(group, dask=True)
            nbytes += table.nbytes
            chunks += sum(variable.data.npartitions for variable in table.data_vars.values() if variable.chunks)
    return Forecast(tuple(stages), nbytes, max(1, chunks) * len(reading))


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
def _scheduler(client: Client | None, nbytes: int) -> Iterator[None]:
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
