"""What a reader is told of a group that a run does not hold: what makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deeptracker.schema.derived import STAGES

_MAKERS = {
    "architecture": "record the run with deeptracker.Recorder, or ingest checkpoints",
    "scalars": "record the run with deeptracker.Recorder, and call recorder.step(step, loss=…)",
    "filters": "record the run with deeptracker.Recorder and recorder.step(step), or ingest checkpoints",
    "layers": "record the run with deeptracker.Recorder and recorder.step(step), or ingest checkpoints",
    "batches": "give recorder.step(…, batch_ids=…, batch_labels=…) when recording",
    "weights": "ask for raw weights when recording",
    "initial": "record the run with deeptracker.Recorder",
    "images": "call recorder.images(target=…) when recording",
    "validation": "call recorder.validate(step, loader) or recorder.validation(step, …), or ingest answers",
}


def why_missing(path: object, group: str, groups: Iterable[str], stages: Mapping[str, Mapping[str, Any]]) -> str:
    """One line: what is not there, and what makes it.

    Parameters
    ----------
    path, groups, stages : the run, as ``Run`` has them.
    group : what was asked for.
    """
    first = group.split("/")[0]
    if first in STAGES:
        stage = stages.get(first)
        if stage is not None:
            known = ", ".join(sorted(stage["groups"]))
            return f"{path} has no group {group!r}; its stage {first} holds {known}"
        return f"{path} has no {first!r} yet: run deeptracker analyze {path}"
    remedy = _MAKERS.get(first)
    if remedy is None:
        return f"{path} has no group {group!r}: it holds {', '.join(groups) or 'nothing yet'}"
    return f"{path} holds no {group!r}: {remedy}"


__all__ = ["why_missing"]
