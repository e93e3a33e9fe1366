"""One recording inside the loop of a library: opened when the training starts, closed when it ends or fails."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from deeptracker.errors import InputError
from deeptracker.integrations.answers import Answers
from deeptracker.integrations.scalars import named, settings
from deeptracker.recording.guard import Guard, say
from deeptracker.recording.recorder import Recorder
from deeptracker.store import place_of

_GIVEN = {"self", "path", "model", "optimizer"}
# A training that was interrupted in a notebook leaves its session behind; the next one of the same run ends it.
_open: weakref.WeakValueDictionary[Path, Session] = weakref.WeakValueDictionary()


class Session:
    """Holds the ``Recorder`` of a callback.

    Parameters
    ----------
    path : folder of the run, or None for the library's own place.
    images : arguments of ``Recorder.images``: a description of the validation set, once it is known.
    options : of ``Recorder``.

    Raises
    ------
    InputError
        ``Recorder`` does not know an option.
    """

    def __init__(self, path: str | Path | None, images: Mapping[str, Any] | None, options: Mapping[str, Any]) -> None:
        check_options(options)
        self.path = None if path is None else place_of(path)
        self.recorder: Recorder | None = None
        self.last: int | None = None  # number of the last step of this session
        self._images, self._options = images, dict(options)
        self._described: set[str] = set()
        self._guard = Guard(bool(options.get("strict", False)))
        self._said: set[str] = set()

    def open(
        self,
        model: torch.nn.Module,
        optimizers: Sequence[Any],
        place: Path,
        *,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Start to record; an earlier recording of this session, or of this run in this process, is closed.

        Raises
        ------
        DeepTrackerError
            As ``Recorder``: before the training starts is the time to say it.
        """
        self.close()
        if (other := _open.pop(place.resolve(), None)) is not None:
            other.close()
        self.last = None
        self.recorder = Recorder(place, model, optimizer=list(optimizers), **self._options)
        _open[place.resolve()] = self
        if config:
            self.recorder.describe(**settings(config))
        if self._images is not None:
            self.recorder.images(**self._images)
            self._described = {str(self._images.get("name", "validation"))}

    def step(self, step: int, loss: torch.Tensor | float | None) -> None:
        """One update of the weights."""
        if self.recorder is not None:
            self.last = step
            self.recorder.step(step, loss=loss)

    def log(self, metrics: Mapping[str, Any], loss: Any = None) -> None:
        """Scalars of the last step; before the first there is no row that they could belong to."""
        if self.recorder is not None and self.last is not None:
            late = {} if loss is None else {"loss": loss}
            self.recorder.log(self.last, **named(metrics), **late)

    def validation(self, step: int, name: str, answers: Answers, classes: Sequence[str] | None = None) -> None:
        """One validation pass.

        Passes of a resumed training before its first step are left out: the run has them.
        """
        recorder = self.recorder
        if recorder is None or (self.last is None and step > 0):
            return
        given: dict[str, Any] = dict(answers)
        target = given.get("target")
        if name not in self._described and target is not None and classes is not None and "ids" not in given:
            recorder.images(target=target, classes=classes, name=name)
        self._described.add(name)
        recorder.validation(step, name=name, **given)

    def guarded(self, work: Callable[[], None]) -> None:
        """Run ``work`` of ours inside the training; a fault is said once."""
        self._guard(work)

    def say(self, text: str) -> None:
        """Say something once."""
        if text not in self._said:
            self._said.add(text)
            say(text)

    def close(self) -> None:
        """End the recording, where there is one."""
        recorder, self.recorder = self.recorder, None
        if recorder is not None:
            recorder.close()


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for what is no option of ``Recorder``: now, not when the training starts."""
    known = set(inspect.signature(Recorder).parameters) - _GIVEN
    if unknown := sorted(options.keys() - known):
        raise InputError(f"{unknown[0]!r} is no option of a recorder; there are {', '.join(sorted(known))}")


def where(place: Path, remembered: str | None) -> Path:
    """The run that a checkpoint belongs to, where that is another one of ``place`` (``place-2``) and still there."""
    other = None if remembered is None else place.with_name(Path(remembered).name)
    if other is not None and other.name.removeprefix(place.name).lstrip("-").isdigit() and other.is_dir():
        return other
    return place


__all__ = ["Session", "check_options", "where"]
