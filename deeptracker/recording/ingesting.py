"""``ingest_run``: what others recorded becomes a run. Joins who reads and who stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from deeptracker.errors import DeepTrackerError, InputError, RunError
from deeptracker.ingest import Gathering, Outcome, find_sources
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.store import LogWriter, place_of
from deeptracker.store.commit import Commit, holds_run, load_commit, refuse_foreign, save_commit
from deeptracker.store.layout import COMMIT, LOCK
from deeptracker.store.place import Place

UNFINISHED = "ingesting"
"""Attribute of a run that is being ingested: such a run is begun anew, where a kill left it half-way."""


def ingest_run(
    source: str | Path,
    path: str | Path,
    *,
    include: str | None = None,
    exclude: str | None = None,
    steps_per_epoch: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Outcome:
    """Make a run of checkpoints, TensorBoard event files and tables of predictions.

    Parameters
    ----------
    source : a folder with files of one training, of one kind or several, or a single file. Checkpoints are ``.pt``,
        ``.pth``, ``.ckpt``, ``.safetensors`` or ``.npz`` in natural order; answers are ``.npz``, ``.parquet``,
        ``.jsonl`` or ``.csv``; tables of the last three without answers give scalars.
    path : folder of the run, or ``s3://BUCKET/PREFIX``; it must not hold one yet, but for what a kill left half-way.
    include, exclude : regular expressions on names of layers.
    steps_per_epoch : optimizer steps an epoch; where checkpoints or tables count epochs, these are multiplied by it.
    progress : called with what is being done and the share of it that is.

    Returns
    -------
    Outcome : what was found, what was left out and why, and how to read the rest; also an attribute of the run.

    Raises
    ------
    InputError
        Nothing at ``source`` can be ingested, or ``path`` is taken.
    LockedRunError
        Another process ingests to ``path``.
    MissingExtraError
        No file can be read without a package that is not installed.
    """
    outcome = Outcome(place_of(path))
    if outcome.path.exists():
        if not _is_left_half(outcome.path):
            raise InputError(f"{outcome.path} exists already: ingest to another path")
        (place_of(outcome.path) / LOCK).lock(outcome.path).release()  # unless somebody is at it
        _clear(place_of(outcome.path))
    say = progress or (lambda what, share: None)
    gathering = Gathering(
        find_sources(source, outcome), outcome,
        include=include, exclude=exclude, steps_per_epoch=steps_per_epoch, progress=say,
    )  # fmt: skip
    try:
        with LogWriter(outcome.path, resume=False) as sink:
            sink.describe({UNFINISHED: True})
            gathering.write(sink)
            try:
                sink.flush()  # every row, before it is said that there is nothing else to come
            except RunError:
                sink.flush()  # of a fault that went by
            sink.describe({UNFINISHED: False})
    except BaseException:
        _clear(place_of(outcome.path))  # it was not there before, and half a run is none
        raise
    say("written", 1.0)
    return outcome


def _clear(path: Place) -> None:
    """Remove what was ingested so far: a kill on the way leaves an ingestion without rows, to be begun anew."""
    if holds_run(path):
        empty = Commit(load_commit(path).run, attributes={"schema_version": SCHEMA_VERSION, UNFINISHED: True})
        save_commit((path / COMMIT).marker(), empty)
    for child in list(path.iterdir()) if path.is_dir() else ():
        if child.is_dir():
            child.remove()
        elif child.name != COMMIT:
            path.drop([child.name])
    path.remove()


def _is_left_half(path: Any) -> bool:
    """Whether a place holds what a killed ingestion left, if anything, and nothing else."""
    if not holds_run(path):
        try:
            refuse_foreign(path)
        except DeepTrackerError:
            return False
        return True
    commit = load_commit(path)
    begun = not (commit.groups or commit.tables or set(commit.attributes) - {"schema_version"})
    return begun or commit.attributes.get(UNFINISHED) is True


__all__ = ["ingest_run"]
