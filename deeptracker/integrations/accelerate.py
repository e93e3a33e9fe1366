"""accelerate: a tracker that records every step of the optimizer, and takes what ``accelerator.log`` logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from deeptracker.errors import InputError
from deeptracker.integrations.extra import missing
from deeptracker.integrations.scalars import is_number, named, settings
from deeptracker.integrations.session import check_options, where
from deeptracker.recording.watching import Watch

try:
    from accelerate.tracking import GeneralTracker
except ImportError as error:
    raise missing("accelerate", "accelerate") from error

_LOSSES = ("loss", "train_loss", "train/loss")


class DeepTrackerTracker(GeneralTracker):
    """Records a training loop under ``accelerate``.

    ::

        tracker = DeepTrackerTracker("runs/mine", every=10)
        accelerator = Accelerator(log_with=tracker)
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        accelerator.init_trackers("mine", config={"lr": 0.1})
        tracker.watch(model, optimizer)  # after prepare; on every process

    or, once ``register_tracker_class(DeepTrackerTracker)`` was called, ``Accelerator(log_with="deeptracker")`` with
    ``init_trackers("mine", init_kwargs={"deeptracker": {"model": model, "optimizer": optimizer}})``.

    Steps are those of the optimizer, counted from 1, also where gradients are accumulated; one that a loss scaler
    skips does not count. ``accelerator.log`` adds to the row of the last step, whatever ``step=`` says: the first
    ``loss`` or ``train_loss`` after it is its loss, other scalars keep their names (``/`` becomes ``_``). Answers of
    a validation pass: ``tracker.tracker.validate(tracker.steps, loader)``, or ``.validation(tracker.steps,
    predicted=…)``. ``accelerator.register_for_checkpointing(tracker)`` lets a resumed training count on.

    Parameters
    ----------
    run_name : folder of the run; without a separator in it, the one of that name in ``runs``.
    model, optimizer : what ``watch`` is called with when the trackers are initialised; or call it yourself.
    options : of ``Recorder``: ``every``, ``full_every``, ``include``, ….

    Raises
    ------
    InputError
        ``Recorder`` does not know an option.
    """

    name = "deeptracker"
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self,
        run_name: str | Path = "accelerate",
        model: torch.nn.Module | None = None,
        optimizer: Any = None,
        **options: Any,
    ) -> None:
        check_options(options)
        super().__init__()
        path = Path(run_name)
        self.path = path if len(path.parts) > 1 else Path("runs") / path
        self._model: Any = model
        self._optimizer: Any = optimizer
        self._options = options
        self._watch: Watch | None = None
        self._config: dict[str, Any] = {}
        self._first = 1
        self._has_loss: int | None = None  # number of the last step whose loss is known
        self._restored: str | None = None

    @property
    def tracker(self) -> Watch | None:
        """The recorder, while one records."""
        return self._watch

    @property
    def steps(self) -> int:
        """Number of the last step of the optimizer."""
        done = None if self._watch is None else self._watch.iteration
        return self._first - 1 if done is None else done

    def start(self) -> None:
        """Called by ``init_trackers``."""
        if self._model is not None and self._watch is None:
            self.watch(self._model, self._optimizer)

    def watch(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer | Sequence[Any]) -> None:
        """Record a model from here on, as ``prepare`` returned it; an earlier recording is ended.

        Raises
        ------
        DeepTrackerError
            As ``Recorder``, or there is no optimizer to count the steps of.
        """
        if optimizer is None:
            raise InputError("watch(): the tracker counts the steps of the optimizer: give it one")
        self.finish()
        self._model, self._optimizer = model, optimizer
        place = where(self.path, self._restored)
        self._watch = Watch(place, model, optimizer=optimizer, first=self._first, told=False, **self._options)
        if self._config:
            self._watch.describe(**self._config)

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """The attribute ``config`` of the run."""
        self._config |= settings(values)
        if self._watch is not None:
            self._watch.describe(**self._config)

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Scalars of the last step of the optimizer."""
        if self._watch is None:
            return
        loss = next((values[name] for name in _LOSSES if is_number(values.get(name))), None)
        others = {name: value for name, value in values.items() if name != "loss"}
        step = self._watch.iteration
        # Under accumulation a later batch belongs to the step that is yet to come.
        known = {"loss": loss} if loss is not None and step is not None and step != self._has_loss else {}
        self._has_loss = step if known else self._has_loss
        self._watch.log(None, **named(others), **known)

    def finish(self) -> None:
        """The end of the run; called by ``end_training``."""
        if self._watch is not None:
            self._first, self._restored = self.steps + 1, str(self._watch.path)
            watch, self._watch = self._watch, None
            watch.close()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the number of steps, and where they are recorded."""
        return {"steps": self.steps, "path": self._restored if self._watch is None else str(self._watch.path)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Count on from a checkpoint."""
        first, restored = int(state["steps"]) + 1, state["path"]
        if self._watch is not None and self._watch.path != where(self.path, restored):
            self.finish()  # and record where the checkpoint was made
            self._first, self._restored = first, restored
            self.watch(self._model, self._optimizer)
        elif self._watch is not None:
            self._watch.count_from(first)
        self._first, self._restored = first, restored


__all__ = ["DeepTrackerTracker"]
