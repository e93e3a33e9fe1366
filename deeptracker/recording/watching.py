"""``watch``: a recorder in one line, in the manner of other tools."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import torch

from deeptracker.errors import InputError
from deeptracker.record import Optimizers
from deeptracker.recording.recorder import Recorder


class Watch(Recorder):
    """A ``Recorder`` that counts the steps itself, unless the loop tells them.

    Parameters
    ----------
    path, model, optimizer, options : of ``Recorder``. Steps are those of the optimizer; of several, of the last one.
        Without one nothing can be counted: the loop calls ``step``.
    first : number of the first counted step.
    told : True: the loop calls ``step``; False: it does not; None: whether it does after the first step decides.
    """

    def __init__(
        self,
        path: str | Path,
        model: torch.nn.Module,
        *,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
        first: int = 0,
        told: bool | None = None,
        **options: Any,
    ) -> None:
        self._next, self._counted = first, 0
        self._told = True if optimizer is None else told
        self._owed = False  # a step went by, and whether the loop will tell it is not known yet
        counting = [] if optimizer is None else Optimizers(optimizer).all[-1:]
        # In front of the recorder's own hook, which belongs to the next step already.
        self._counting = [one.register_step_pre_hook(lambda *_: self._pay()) for one in counting]
        try:
            super().__init__(path, model, optimizer=optimizer, **options)
        except BaseException:
            self._stop_counting()
            raise
        self._counting += [one.register_step_post_hook(lambda *_: self._stepped()) for one in counting]

    @property
    def iteration(self) -> int | None:
        """Number of the last step that was counted; None before the first."""
        return self._next - 1 if self._counted else None

    def count_from(self, number: int) -> None:
        """Give the next step this number: a checkpoint was loaded."""
        self._next = number

    def step(
        self,
        step: int,
        *,
        loss: torch.Tensor | float | None = None,
        batch_ids: npt.ArrayLike | None = None,
        batch_labels: npt.ArrayLike | None = None,
    ) -> None:
        """Record an iteration under a number of the loop's: from its first one on, or never."""
        if self._told is False:
            self._guard(_told_too_late)
            return
        self._told, self._owed = True, False
        super().step(step, loss=loss, batch_ids=batch_ids, batch_labels=batch_labels)

    def log(self, step: int | None = None, **scalars: torch.Tensor | float) -> None:
        """Keep scalars with the row of ``step``, by default of the step that was counted last; ``loss`` is one."""
        if step is None:
            self._pay()
            step = self._next if self.iteration is None else self.iteration
        super().log(step, **scalars)

    def close(self) -> None:
        """As ``Recorder.close``."""
        self._pay()
        self._stop_counting()
        super().close()

    def _stepped(self) -> None:
        if self._told is None:
            self._owed = True
        elif self._told is False:
            self._count()

    def _pay(self) -> None:
        """The loop did something else than telling the step: it is ours to count."""
        if self._owed:
            self._told, self._owed = False, False
            self._count()

    def _count(self) -> None:
        number, self._next, self._counted = self._next, self._next + 1, self._counted + 1
        super().step(number)

    def _stop_counting(self) -> None:
        for handle in self._counting:
            handle.remove()


def watch(
    model: torch.nn.Module,
    criterion: Any = None,
    *,
    log: Literal["gradients", "parameters", "all"] | None = "all",
    log_freq: int = 100,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    path: str | Path | None = None,
    **options: Any,
) -> Watch:
    """Record a training without another line in its loop, in the manner of other tools.

    Parameters
    ----------
    model : the module that trains.
    criterion, log : taken for the sake of calls written for other tools. Weights, gradients and updates are always
        recorded, all three.
    log_freq : ``every`` of ``Recorder``: filters are recorded at every so many-th step.
    optimizer : its optimizer or optimizers. Each step of it is an iteration, counted from 0. A loop that resumes, or
        counts otherwise, tells its own numbers by ``step(number, loss=loss)`` from its first iteration on. Without
        an optimizer it has to.
    path : folder of the run, by default ``runs/<time>``.
    options : of ``Recorder``.

    Returns
    -------
    Watch : a ``Recorder``; ``log(loss=loss)`` needs no number of a step. Ended by ``close``, or as a context manager.

    Raises
    ------
    InputError
        ``log`` is none of the three, and what ``Recorder`` raises.
    """
    if log not in ("gradients", "parameters", "all", None):
        raise InputError(f'log={log!r} is unknown: "gradients", "parameters" or "all"; all are recorded anyway')
    where = path if path is not None else Path("runs") / time.strftime("%Y-%m-%d_%H-%M-%S")
    return Watch(where, model, optimizer=optimizer, every=log_freq, **options)


def _told_too_late() -> None:
    raise InputError("step(): watch() counts the steps, since the first was not told; tell all of them or none")


__all__ = ["Watch", "watch"]
