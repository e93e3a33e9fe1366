"""The ``Recorder`` that a training loop calls: joins who records and who stores."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy.typing as npt

from deeptracker.errors import InputError, MissingExtraError
from deeptracker.sink import Sink
from deeptracker.store import LogWriter

try:
    import torch

    from deeptracker.record import Probe, Schedule
    from deeptracker.record.answers import Answers
    from deeptracker.record.snapshots import Snapshots
except ImportError as error:  # pragma: no cover - depends on the installation
    raise MissingExtraError('recording needs torch: pip install "deeptracker[record]"') from error


class Recorder:
    """Records a training into a run.

    Parameters
    ----------
    path : folder of the run. An existing run is resumed; another process writing it is an error.
    model : the module that trains.
    optimizer : its optimizer or optimizers. With it, gradients are read in the pre-step hook and weights in the
        post-step hook, each array once; without it, all in ``step``.
    every, start, stop : filters are recorded at every ``every``-th step in [start, stop).
    include, exclude : regular expressions on the names of layers.
    full_every : schedule of quartiles, histograms, change ratios and the stable rank; None = never.
    probe, probe_every : a batch and the schedule of activations over it; None = never.
    flush_secs : seconds between commits: what a kill can lose.
    resume : False refuses a path that already holds a run.
    strict : raise faults of the recorder instead of saying them once and counting them.

    Raises
    ------
    InputError, LockedRunError, RunError
        Only from the constructor (and later with ``strict``): afterwards a fault never ends the training.

    Notes
    -----
    Recording draws no random number and writes to no tensor: the trained result is the same, bit for bit.
    Δw is NaN at the first record and after a resume.
    """

    def __init__(
        self,
        path: str | Path,
        model: torch.nn.Module,
        *,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
        every: int = 100,
        start: int = 0,
        stop: int | None = None,
        include: str | None = None,
        exclude: str | None = None,
        statistics: Literal["standard"] = "standard",
        full_every: int | None = None,
        probe: Any = None,
        probe_every: int | None = None,
        flush_secs: float = 2.0,
        resume: bool = True,
        strict: bool = False,
    ) -> None:
        if statistics != "standard":
            raise InputError(f'statistics={statistics!r} is unknown; the set that exists is "standard"')
        if (probe is None) != (probe_every is None):
            raise InputError("probe and probe_every belong together: give both or none")
        self.path = Path(path)
        self.strict = strict
        self.faults = 0
        self.seconds = 0.0
        self._started = time.perf_counter()
        self._flush_secs = flush_secs
        self._model = model
        self._begun = False
        self._closed = False
        self._sink: Sink = LogWriter(self.path, resume=resume, flush_secs=flush_secs)
        try:
            optimizers = (
                [] if optimizer is None else [optimizer] if not isinstance(optimizer, Sequence) else optimizer
            )
            self._snapshots = Snapshots(
                model,
                list(optimizers),
                dense=Schedule(every, start, stop),
                full=Schedule(full_every, start, stop),
                probe=Probe(model, probe) if probe is not None else None,
                probing=Schedule(probe_every, start, stop),
                include=include,
                exclude=exclude,
                guard=self._guard,
            )
            self._snapshots.restore(self._sink)
        except BaseException:
            self._sink.close()
            raise
        self._answers = Answers()

    # What the training loop calls

    def step(
        self,
        step: int,
        *,
        loss: torch.Tensor | float | None = None,
        batch_ids: npt.ArrayLike | None = None,
        batch_labels: npt.ArrayLike | None = None,
    ) -> None:
        """Record an iteration, once after ``optimizer.step()``, before or after ``zero_grad()``.

        ``loss`` is detached. ``batch_ids`` (int64) and ``batch_labels`` (int32) are one value a sample.
        """

        def record() -> None:
            self._begin(step)
            batch = None if batch_ids is None and batch_labels is None else (batch_ids, batch_labels)
            self._snapshots.step(self._sink, step, loss, batch)

        self._guard(record)

    def log(self, step: int, **scalars: float) -> None:
        """Keep scalars of the user's with the row of ``step``, which must not have been recorded yet."""
        self._guard(lambda: self._snapshots.note(step, scalars))

    def images(
        self,
        *,
        target: npt.ArrayLike,
        ids: npt.ArrayLike | None = None,
        classes: Sequence[str] | None = None,
        thumbnails: npt.ArrayLike | None = None,
        name: str = "validation",
    ) -> None:
        """Describe a validation set, once.

        Parameters
        ----------
        target : (image,) class of each image, integers.
        ids : (image,) what the images are called; default: their position.
        classes : names of the classes; default: their numbers.
        thumbnails : (image, y, x) or (image, y, x, band), uint8, or floats in [0, 1].
        name : name of the set.
        """
        self._guard(lambda: self._answers.images(name, target, ids, classes, thumbnails))

    def validation(
        self,
        step: int,
        *,
        predicted: npt.ArrayLike | None = None,
        correct: npt.ArrayLike | None = None,
        loss: npt.ArrayLike | None = None,
        confidence: npt.ArrayLike | None = None,
        target: npt.ArrayLike | None = None,
        ids: npt.ArrayLike | None = None,
        weights: Literal["raw", "ema"] = "raw",
        name: str = "validation",
    ) -> None:
        """Record the answers of one validation pass, one value an image, in the order of ``images`` or of ``ids``.

        ``predicted`` is a class (−1 = not evaluated); ``correct`` is for tasks without one class per image;
        ``confidence`` of the true class is stored as loss = −log(confidence).
        """

        def record() -> None:
            self._begin(step)
            self._answers.record(
                self._sink, f"{name}/{weights}", step,
                predicted=predicted, correct=correct, loss=loss, confidence=confidence, target=target, ids=ids,
            )  # fmt: skip

        self._guard(record)

    def validate(
        self,
        step: int,
        loader: Iterable[Any],
        *,
        weights: Literal["raw", "ema"] = "raw",
        name: str = "validation",
    ) -> None:
        """Evaluate the model on a loader of (images, targets) and record the answers.

        Refuses a shuffling loader. Every random state and every training flag is as before afterwards. The first
        call evaluates twice and stores the share of answers that differ as ``evaluation_noise``. The evaluation
        itself does not count as the recorder's cost.
        """

        def record() -> None:
            self._begin(step)
            self._answers.evaluate(self._sink, f"{name}/{weights}", step, self._model, loader)

        before = self._answers.evaluation_seconds
        self._guard(record)
        self.seconds -= self._answers.evaluation_seconds - before

    def flush(self) -> None:
        """Return when everything recorded so far is committed to disk."""
        self._guard(self._sink.flush)

    def close(self) -> None:
        """Take the hooks off, commit, and say what the recording cost. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._snapshots.remove()
        began = time.perf_counter()
        try:
            if not self._begun and self._snapshots.pending:
                self._begin(0)
            self._answers.put(self._sink)
            cost = {"seconds": self.seconds, "of_seconds": began - self._started, "faults": self.faults}
            self._sink.describe({"recorder": cost})
            self._sink.close()
        except Exception as error:
            self._fault(error)
        self.seconds += time.perf_counter() - began
        total = time.perf_counter() - self._started
        share = f"{100 * self.seconds / max(total, 1e-9):.1f}% of {total:.1f} s"
        faults = f"; {self.faults} faults" if self.faults else ""
        self._say(f"{self.path}: {self._snapshots.records} snapshots in {self.seconds:.1f} s ({share}){faults}")

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    # How it stays out of the way

    def _begin(self, step: int) -> None:
        """Before the first row: see how it lies to what the path already holds."""
        if self._begun:
            return
        self._begun = True
        last = self._sink.last("scalars")
        if last is not None and step <= last:
            first = self._sink.first("scalars")
            if first is not None and step <= first:
                self._sink.close()
                old, self.path = self.path, _next_free(self.path)
                self._say(f"{old} already holds a run from its start on; this one goes to {self.path}")
                self._sink = LogWriter(self.path, resume=False, flush_secs=self._flush_secs)
                self._snapshots.forget()
            else:
                self._say(f"{self.path}: resumed at {step}; what was recorded from there to {last} is dropped")
                self._sink.cut(step)
        self._snapshots.begin(self._sink)
        self._answers.put(self._sink)

    def _guard(self, work: Callable[[], None]) -> None:
        """Run our work, count its time, and keep its faults away from the training."""
        began = time.perf_counter()
        try:
            work()
        except Exception as error:
            self._fault(error)
        finally:
            self.seconds += time.perf_counter() - began

    def _fault(self, error: Exception) -> None:
        self.faults += 1
        if self.strict:
            raise error
        if self.faults == 1:
            self._say(f"recording failed, the training goes on: {type(error).__name__}: {error}")

    @staticmethod
    def _say(text: str) -> None:
        print(f"deeptracker: {text}", file=sys.stderr)


def _next_free(path: Path) -> Path:
    candidates = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(candidate for candidate in candidates if not candidate.exists())
