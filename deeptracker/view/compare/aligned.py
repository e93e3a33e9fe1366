"""Runs on one axis: iterations or epochs, and the record of each run that is in force at every column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptracker.errors import InputError
from deeptracker.screen import read, variables
from deeptracker.view.event.events import extent

COLUMNS = 600
KINDS = {"iteration": "training iteration", "epoch": "epoch"}


@dataclass(frozen=True, slots=True)
class Axis:
    """What the runs are aligned by: ``kind``, where the columns begin and how wide they are, and for each run a line
    (iterations, units) from its iterations to the axis.
    """

    kind: str
    start: float
    width: float
    lines: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]

    @property
    def stop(self) -> float:
        return self.start + self.width * COLUMNS

    @property
    def columns(self) -> NDArray[np.float64]:
        """Where each column begins."""
        return np.asarray(self.start + self.width * np.arange(COLUMNS), dtype=np.float64)

    def place(self, number: int, iteration: NDArray[Any]) -> NDArray[np.float64]:
        """Iterations of a run in units of the axis."""
        return np.interp(np.asarray(iteration, dtype=np.float64), *self.lines[number])

    def spread(self, number: int, iteration: NDArray[Any], values: NDArray[np.float32]) -> NDArray[np.float32]:
        """``values`` (record, …) of a run at every column: the record in force; NaN beside what was recorded."""
        at = self.place(number, iteration)
        out = np.full((COLUMNS, *values.shape[1:]), np.nan, np.float32)
        if len(at):
            row = np.searchsorted(at, self.columns + self.width / 2, side="right") - 1
            last = at[-1] + (np.median(np.diff(at)) if len(at) > 1 else self.width)
            inside = (row >= 0) & (self.columns < max(last, at[-1] + self.width))
            out[inside] = values[row[inside]]
        return out


def kinds_of(runs: Sequence[Any]) -> list[str]:
    """What all runs can be aligned by: epochs where each of them logged its epoch."""
    return ["iteration", *(["epoch"] if all(len(_epochs(run)[0]) > 1 for run in runs) else [])]


def axis_of(runs: Sequence[Any], kind: str = "iteration") -> Axis:
    """The axis that holds all runs. InputError where one of them does not know the unit."""
    if kind not in kinds_of(runs):
        raise InputError(f"cannot align by {kind!r}: choose {' or '.join(kinds_of(runs))} for these runs")
    lines = []
    for run in runs:
        first, last = extent(run)
        plain = np.array([first, last], dtype=np.float64)
        lines.append((plain, plain) if kind == "iteration" else _epochs(run))
    start = min(float(y[0]) for _, y in lines)
    stop = max(float(y[-1]) for _, y in lines)
    return Axis(kind, start, max(stop - start, 1e-9) / (COLUMNS - 1), tuple(lines))


def _epochs(run: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(iteration, epoch) of a run, never falling; empty where it logged none."""
    if "epoch" not in variables(run, "scalars"):
        return np.zeros(0), np.zeros(0)
    data = read(run, "scalars", ["epoch"], pixels=COLUMNS, reductions=["min"])
    x = np.asarray(data["iteration"].values, dtype=np.float64)
    y = np.asarray(data["epoch"].values[0], dtype=np.float64)
    known = np.isfinite(y)
    x, y = x[known], np.maximum.accumulate(y[known]) if known.any() else y[known]
    return (x, y) if len(x) > 1 and y[-1] > y[0] else (np.zeros(0), np.zeros(0))


__all__ = ["COLUMNS", "KINDS", "Axis", "axis_of", "kinds_of"]
