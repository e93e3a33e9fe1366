"""The ``Recorder`` that a training loop calls: joins who records and who stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy.typing as npt

from deeptracker.conform import position
from deeptracker.errors import InputError, MissingExtraError
from deeptracker.recording.guard import Guard, say
from deeptracker.recording.resuming import settle
from deeptracker.recording.sinks import open_sink
from deeptracker.store import place_of

try:
    import torch

    from deeptracker.record import Answers, Bystander, Exchange, Optimizers, Probe, Snapshots, is_sharded, plan_of
except ImportError as error:  # pragma: no cover - depends on the installation
    if (error.name or "").partition(".")[0] != "torch":
        raise  # a fault of ours, not of the installation
    raise MissingExtraError('recording needs torch: pip install "deeptracker[record]"') from error


class Recorder:
    """Records a training into a run.

    Parameters
    ----------
    path : folder of the run, or ``s3://BUCKET/PREFIX``. An existing run is resumed; another
        process writing it is an error.
    model : the module that trains.
    optimizer : its optimizer or optimizers. With it, gradients are read in the pre-step hook, as the optimizer
        receives them; without it, all is read in ``step``.
    every, start, stop : filters are recorded at every ``every``-th step in [start, stop).
    include, exclude : regular expressions on the names of layers.
    full_every : schedule of quartiles, histograms, change ratios and the stable rank; None = never.
    probe, probe_every : a batch and the schedule of activations over it; None = never.
    raw, raw_every : regular expression on names of layers whose weights and gradients are kept whole, and its
        schedule; None = never.
    max_overhead : share of the elapsed time that recording may take (0.02), writing in the background included;
        above it every 2nd, 4th, … due step is recorded, which is said, and ``steps`` keeps the rates right.
    disk_budget : bytes, or a text like "20GB": of most records the core statistics are kept, of every 100th all;
        ``analyze`` thins old shards without events until the log fits.
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
    Δw is NaN at the first record and after a resume. Where gradients are accumulated, ``step`` is called once an
    update. A compiled model and a loss scaler need nothing: gradients are recorded unscaled.

    Several processes: make the recorder on each, after the process group, and call it on each. Rank 0 writes. Under
    DDP the others measure nothing; under FSDP2 they take part in reading the weights. Answers of all ranks come
    together through ``validate`` with a ``DistributedSampler``, or through ``validation`` with ``ids``.
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
        raw: str | None = None,
        raw_every: int | None = None,
        max_overhead: float | None = None,
        disk_budget: int | str | None = None,
        flush_secs: float = 2.0,
        resume: bool = True,
        strict: bool = False,
    ) -> None:
        if statistics != "standard":
            raise InputError(f'statistics={statistics!r} is unknown; the set that exists is "standard"')
        if (probe is None) != (probe_every is None):
            raise InputError("probe and probe_every belong together: give both or none")
        self.path = place_of(path)
        self._guard = Guard(strict)
        self._flush_secs, self._model = flush_secs, model
        self._begun = self._closed = False
        self._strides: list[list[int]] = []
        self._plan = plan_of(
            every=every, start=start, stop=stop, full_every=full_every, probe_every=probe_every, raw=raw,
            raw_every=raw_every, max_overhead=max_overhead, disk_budget=disk_budget,
        )  # fmt: skip
        optimizers, exchange, sharded = Optimizers(optimizer), Exchange(), is_sharded(model)
        if sharded and max_overhead is not None:
            raise InputError("max_overhead: ranks with sharded parameters must read at the same steps; use every=")
        self._writes = exchange.rank == 0
        self._sink = open_sink(self.path, exchange.rank, resume=resume, flush_secs=flush_secs)
        self._snapshots: Snapshots | Bystander = Bystander()
        self._answers = Answers(exchange, sharded, lambda text: say(f"{self.path}: {text}"))
        if not (self._writes or sharded):
            return
        try:
            self._snapshots = Snapshots(
                model, optimizers, self._plan,
                probe=None if probe is None else Probe(model, probe), include=include, exclude=exclude,
                guard=self._guard, spent=lambda: self._guard.seconds, follow=not self._writes,
            )  # fmt: skip
            self._snapshots.restore(self._sink)
        except BaseException:
            self._sink.close()
            raise

    @property
    def faults(self) -> int:
        """Faults of the recorder so far; only the first was said."""
        return self._guard.faults

    @property
    def seconds(self) -> float:
        """What recording has cost so far, in seconds of the training's thread."""
        return self._guard.seconds

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

        ``step`` increases, below 2⁵³. ``loss`` is detached. ``batch_ids``, ``batch_labels``: one integer a sample.
        """
        batch = None if batch_ids is None and batch_labels is None else (batch_ids, batch_labels)
        before = self._snapshots.records

        def record() -> None:
            at, store = position(step), self._snapshots.step
            for work in (lambda: self._begin(at), lambda: store(self._sink, at, loss, batch), self._sink.check):
                self._guard(work)

        self._guard(record)
        spent = self.seconds + self._sink.background_seconds
        if self._plan.overhead.note(spent, self._snapshots.records > before):
            self._guard(lambda: self._change_stride(step))

    def log(self, step: int, **scalars: torch.Tensor | float) -> None:
        """Keep scalars of the user's with the row of ``step``: before its ``step()``, or until the next one.

        ``loss`` is taken here, too, where ``step`` was called without one.
        """
        self._guard(lambda: self._snapshots.scalars.note(position(step), scalars))

    def describe(self, **settings: Any) -> None:
        """Keep settings (JSON-able) of the training as the attribute ``config`` of the run; before its first row."""
        self._guard(lambda: self._snapshots.config.update(settings))

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

        ``predicted`` is a class up to 32,767 (−1, NaN = not evaluated); ``correct``, 0 or 1, is for tasks without one
        class per image; ``confidence`` of the true class is stored as loss = −log(confidence).
        """

        def record() -> None:
            self._begin(at := position(step))
            self._answers.record(
                self._sink, f"{name}/{weights}", at,
                predicted=predicted, correct=correct, loss=loss, confidence=confidence, target=target, ids=ids,
            )  # fmt: skip

        self._guard(record)

    def validate(
        self,
        step: int,
        loader: Iterable[Any],
        *,
        model: torch.nn.Module | None = None,
        weights: Literal["raw", "ema"] = "raw",
        name: str = "validation",
    ) -> None:
        """Evaluate the model on a loader of (images, targets) and record the answers.

        ``model`` is another one than that which trains, such as the averaged copy behind ``weights="ema"``.
        Refuses a shuffling loader. Every random state and every training flag is as before afterwards. The first
        call evaluates twice and stores the share of answers that differ as ``evaluation_noise``. The evaluation
        itself does not count as the recorder's cost.
        """

        def record() -> None:
            self._begin(at := position(step))
            self._answers.evaluate(self._sink, f"{name}/{weights}", at, model or self._model, loader)

        self._guard(record)
        self._guard.excused = self._answers.evaluation_seconds

    def flush(self) -> None:
        """Return when everything recorded so far is committed to disk."""

        self._guard(lambda: self._snapshots.flush(self._sink))
        self._guard(self._sink.flush)

    def close(self) -> None:
        """Take the hooks off, commit, and say what the recording cost. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._snapshots.remove()
        try:
            self._guard(self._finish)
        finally:
            self._guard(self._sink.close)
        if self._writes:
            cost = self._guard.account(self._sink.background_seconds, self._sink.lost)
            say(f"{self.path}: {self._snapshots.records} snapshots in {cost}")

    def _finish(self) -> None:
        if not self._begun and self._snapshots.scalars.pending:
            self._begin(0)
        self._snapshots.flush(self._sink)
        self._answers.put(self._sink)
        cost = {"seconds": self.seconds, "of_seconds": self._guard.elapsed, "faults": self.faults}
        self._sink.describe({"recorder": cost | {"background_seconds": self._sink.background_seconds}})

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _begin(self, step: int) -> None:
        """Before the first row: resume, cut back, or go to another path."""
        if self._begun:
            return
        self._begun = True
        # Each by itself: what a disk does not take now is written once it does.
        self._guard(lambda: self._settle(step))
        self._guard(lambda: self._snapshots.begin(self._sink))
        self._guard(lambda: self._answers.put(self._sink))

    def _settle(self, step: int) -> None:
        before = self.path
        self._sink, self.path = settle(self._sink, before, step, self._flush_secs)
        if self.path != before:
            self._snapshots.forget()

    def _change_stride(self, step: int) -> None:
        stride, limit = self._plan.overhead.stride, f"{100 * (self._plan.overhead.limit or 0):g}% of the time"
        say(f"{self.path}: from {step} on one due step in {stride} is recorded, to stay under {limit}")
        self._strides.append([step, stride])
        self._sink.describe({"strides": self._strides})
