"""``ingest_run``: what others recorded becomes a run. Joins who reads and who stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deeptracker.errors import InputError
from deeptracker.ingest import Gathering, Outcome, find_sources
from deeptracker.store import LogWriter, place_of


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
    path : folder of the run, or ``s3://BUCKET/PREFIX``; it must not hold one yet.
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
    MissingExtraError
        No file can be read without a package that is not installed.
    """
    outcome = Outcome(place_of(path))
    if outcome.path.exists():
        raise InputError(f"{path} exists already: ingest to another path")
    say = progress or (lambda what, share: None)
    gathering = Gathering(
        find_sources(source, outcome), outcome,
        include=include, exclude=exclude, steps_per_epoch=steps_per_epoch, progress=say,
    )  # fmt: skip
    try:
        with LogWriter(outcome.path, resume=False) as sink:
            gathering.write(sink)
    except BaseException:
        place_of(outcome.path).remove()  # it was not there before, and half a run is none
        raise
    say("written", 1.0)
    return outcome


__all__ = ["ingest_run"]
