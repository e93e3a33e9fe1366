"""A training of seconds, recorded while something goes wrong; and whether what is left is what was promised."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import xarray as xr

import deeptracker as dt
from deeptracker.errors import DeepTrackerError
from deeptracker.store import open_run, verify

FAILED = "recording failed, the training goes on"
IMAGES = 30


@dataclass
class Told:
    """What a training came to."""

    losses: list[float] = field(default_factory=list)
    reported: int = -1
    """The last step that ``flush`` said was committed."""
    said: str = ""
    faults: int = 0
    raised: DeepTrackerError | None = None


def train(
    path: str | Path | None,
    steps: int,
    meanwhile: Callable[[int], None] = lambda step: None,
    *,
    first: int = 0,
    flush_every: int = 7,
    strict: bool = False,
) -> Told:
    """Train steps [first, steps), recorded at ``path``; ``meanwhile`` is called before each, and with −1 before the
    end. The same numbers whatever ``path`` is.
    """
    told, out = Told(), io.StringIO()
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(1)
    recorder: dt.Recorder | None = None
    with contextlib.redirect_stderr(out):
        try:
            for step in range(steps):
                if step == first and path is not None:
                    recorder = dt.Recorder(path, model, optimizer=optimizer, every=1, flush_secs=0.02, strict=strict)
                if step >= first:
                    meanwhile(step)
                loss = model(torch.randn(8, 6, generator=generator)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                told.losses.append(loss.item())
                if recorder is not None:
                    recorder.step(step, loss=loss)
                    if step % 5 == 0:
                        recorder.validation(step, predicted=answers(step), target=np.arange(IMAGES) % 3)
                    if step % flush_every == flush_every - 1:
                        before = recorder.faults
                        recorder.flush()
                        told.reported = step if recorder.faults == before else told.reported
            meanwhile(-1)
        except DeepTrackerError as error:
            told.raised = error
        finally:
            if recorder is not None:
                try:
                    recorder.close()
                except DeepTrackerError as error:
                    told.raised = told.raised or error
    told.said = out.getvalue()
    told.faults = 0 if recorder is None else recorder.faults
    return told


def answers(step: int) -> np.ndarray:
    """What the training answers to each image at a step."""
    return (np.arange(IMAGES) + step) % 3


@cache
def sound(steps: int) -> tuple[list[float], dict[str, xr.Dataset]]:
    """Losses of a training that nobody recorded, and what one leaves of which nothing went wrong."""
    with TemporaryDirectory() as folder:
        told = train(Path(folder, "run"), steps)
        assert told.faults == 0, told.said
        run = open_run(Path(folder, "run"))
        kept = {group: run.dataset(group).load() for group in run.commit.groups}
        assert told.losses == train(None, steps).losses
    return told.losses, kept


def broken(path: str | Path, told: Told, steps: int, strict: bool = False, *, few: bool = False) -> Counter[str]:
    """Promises that a training did not keep, by name; the fault is over by now.

    ``few``: of each group three variables are compared, where each costs requests.
    """
    wrong: Counter[str] = Counter()
    losses, kept = sound(steps)
    if strict:
        wrong["strict, and nothing was raised"] += told.faults > 0 and told.raised is None
    else:
        wrong["the training was another one"] += told.losses != losses or told.raised is not None
        wrong["not said once"] += told.said.count(FAILED) != (told.faults > 0)
        wrong["another line"] += len(told.said.splitlines()) != (told.faults > 0) + 1 or "Traceback" in told.said
    try:
        if few:
            kept = {group: rows[sorted(map(str, rows.data_vars))[:3]] for group, rows in kept.items()}
        wrong += left(path, kept, told.reported)
        wrong["resumed, and not whole"] += not _resumes(path, steps)
    except DeepTrackerError as error:
        wrong[f"cannot be read: {error}"] += 1
    return +wrong


def left(path: str | Path, kept: dict[str, xr.Dataset], reported: int) -> Counter[str]:
    """What a run lacks of the steps up to ``reported``, and whatever in it was never recorded."""
    wrong: Counter[str] = Counter()
    if not (run := open_run(path)).groups and reported < 0:
        return wrong
    for group, whole in kept.items():
        axis = "validation" if group.startswith("validation") else "iteration"
        expected = whole[axis].values[whole[axis].values <= reported]
        rows = run.dataset(group)[list(whole.data_vars)].load() if run.has(group) else None
        there = np.empty(0, np.int64) if rows is None else rows[axis].values
        wrong["lost"] += len(np.setdiff1d(expected, there))
        if rows is None:
            continue
        wrong["rows out of order"] += bool((np.diff(there) <= 0).any())
        wrong["never recorded"] += len(np.setdiff1d(there, whole[axis].values))
        for name, values in whole.sel({axis: np.intersect1d(there, whole[axis].values)}).data_vars.items():
            if name not in ("recorder_seconds", "wall_time") and np.issubdtype(values.dtype, np.number):
                wrong[f"{name} is not what was recorded"] += not np.array_equal(
                    values.values, rows[name].values, equal_nan=values.dtype.kind == "f"
                )
    return wrong


def _resumes(path: str | Path, steps: int) -> bool:
    """Whether a training goes on where this one ended, all of it in the run."""
    told = train(path, steps + 6, first=steps)
    run = open_run(path)
    there = run.dataset("scalars")["iteration"].values.tolist()
    return told.faults == 0 and run.commit.closed and there[-6:] == list(range(steps, steps + 6)) and not verify(path)


__all__ = ["Told", "broken", "left", "sound", "train"]
