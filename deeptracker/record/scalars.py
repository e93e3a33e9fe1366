"""The row of single numbers that every iteration has."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from deeptracker.conform import variable
from deeptracker.errors import InputError
from deeptracker.record.hostcopy import HostCopy, number_of

_OURS = {"loss", "learning_rate", "grad_norm", "steps", "step_skipped", "wall_time", "recorder_seconds", "iteration"}


class Scalars:
    """Loss, learning rates, our own cost, and what the user logs.

    Parameters
    ----------
    spent : seconds that recording has taken so far.
    """

    def __init__(self, spent: Callable[[], float]) -> None:
        self._spent, self._told = spent, 0.0
        self._notes: dict[int, dict[str, Any]] = {}
        self._last: int | None = None
        self._open: dict[str, Any] | None = None  # the row of the last step, while it can still take scalars
        self._without_loss = False
        self.groups: int | None = None  # length of the axis of parameter groups

    @property
    def pending(self) -> bool:
        """Scalars were noted that no step has taken."""
        return bool(self._notes)

    def note(self, step: int, scalars: dict[str, Any]) -> None:
        """Keep scalars until the row of ``step`` is written; the row of the last step takes them, too.

        Raises
        ------
        InputError
            A name is one of ours, a value is no number, or the row of ``step`` was written before. ``loss`` is taken
            for the row of the last step, where ``step`` was called without one.
        """
        late = step == self._last and self._open is not None
        allowed = {"loss"} if late and self._without_loss else set()
        wrong = (_OURS - allowed) & scalars.keys()
        if wrong:
            raise InputError(f"log(): {sorted(wrong)[0]!r} is a name of DeepTracker's own; choose another")
        for name in scalars:
            variable("scalars", name)  # now, or a name that cannot be stored takes its whole row along
        if self._last is not None and step <= self._last and not late:
            raise InputError(f"log(): step {step} has its row already; log before the step() that follows it")
        try:
            values = {name: number_of(value) for name, value in scalars.items()}
        except (TypeError, ValueError):
            raise InputError(f"log(): every scalar must be one number, not {scalars}") from None
        if self._open is not None and late:
            self._open.update(values)
        else:
            self._notes.setdefault(step, {}).update(values)

    def shut(self) -> None:
        """The row of the last step is written: it takes no more scalars."""
        self._open = None

    def row(
        self, step: int, loss: Any, rates: Sequence[float | HostCopy], skipped: torch.Tensor | int | None
    ) -> dict[str, Any]:
        """The row of ``step``; numbers that are still on a device are ``HostCopy``, see ``arrived``.

        ``skipped`` tells whether the optimizer left the weights alone. The axis of parameter groups is fixed by the
        first row: the rate of a group that was added later is a scalar of its own, ``learning_rate_<number>``.
        """
        if self.groups is None:
            self.groups = len(rates)
        known = [*rates[: self.groups], *[np.nan] * (self.groups - len(rates))]
        spent = self._spent()
        row: dict[str, Any] = {
            "loss": np.nan if loss is None else number_of(loss),
            "learning_rate": known,
            "grad_norm": np.nan,
            "steps": -1 if self._last is None else step - self._last,
            "step_skipped": 0 if skipped is None else number_of(skipped),
            "wall_time": time.time(),
            "recorder_seconds": spent - self._told,
        }
        row |= {f"learning_rate_{i}": rate for i, rate in enumerate(rates) if i >= self.groups}
        row |= self._notes.pop(step, {})
        self._told, self._last = spent, step
        self._open, self._without_loss = row, loss is None
        return row


def have_arrived(row: Mapping[str, Any]) -> bool:
    """Whether ``arrived`` would not wait."""
    numbers = [*row.values(), *row["learning_rate"]]
    return all(number.ready() for number in numbers if isinstance(number, HostCopy))


def arrived(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the numbers that were on their way."""
    return {
        name: np.array([_number(one) for one in value]) if name == "learning_rate" else _number(value)
        for name, value in row.items()
    }


def _number(value: Any) -> Any:
    return value.number() if isinstance(value, HostCopy) else value


__all__ = ["Scalars", "arrived", "have_arrived"]
