"""What the time axis counts: iterations, epochs, samples seen, or time. Figures stay in iterations; labels change."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSTicker, CustomJSTickFormatter
from numpy.typing import NDArray

from deeptracker.screen import read, variables

LABELS = {
    "iteration": "training iteration",
    "epoch": "epoch",
    "samples": "samples seen",
    "time": "hours : minutes : seconds since the first record",
}
_NAMES = {"epoch": "epoch", "samples": "samples", "time": "wall_time"}
KNOTS = 1000
"""Points of the line from iterations to another unit; between them it is straight."""


class Clock:
    """The ticker and the labels that all time axes of a page share; ``use`` changes what they count."""

    def __init__(self, run: Any, start: float, stop: float) -> None:
        self.run, self.start, self.stop = run, start, stop
        self.line = ColumnDataSource({"x": [start, stop], "y": [start, stop]})
        self.ticker = CustomJSTicker(args={"line": self.line, "kind": "iteration"}, major_code=_TICKS)
        self.formatter = CustomJSTickFormatter(args={"line": self.line, "kind": "iteration"}, code=_LABEL)
        self.axes: list[Any] = []
        self.shown = "iteration"

    def kinds(self) -> list[str]:
        """What the run can be counted in."""
        there = variables(self.run, "scalars")
        known = [kind for kind, name in _NAMES.items() if name in there and len(self._line(kind)[0]) > 1]
        return ["iteration", *known]

    def put_on(self, axis: Any, *, label: bool) -> None:
        """Let an axis show this clock, with its unit where ``label``."""
        axis.ticker, axis.formatter = self.ticker, self.formatter
        if label:
            axis.axis_label = LABELS[self.shown]
            self.axes.append(axis)

    def use(self, kind: str) -> None:
        """Count in another unit; one that the run does not know stays at iterations."""
        x, y = self._line(kind) if kind in _NAMES else (np.zeros(0), np.zeros(0))
        self.shown = kind if len(x) > 1 else "iteration"
        if len(x) < 2:
            x = y = np.array([self.start, self.stop])
        self.line.data = {"x": x, "y": y}
        for model in (self.ticker, self.formatter):
            model.args = {"line": self.line, "kind": self.shown}
        for axis in self.axes:
            axis.axis_label = LABELS[self.shown]

    def grow(self, run: Any, start: float, stop: float) -> None:
        """Count what was recorded since, too."""
        self.run, self.start, self.stop = run, start, stop
        self.use(self.shown)

    def _line(self, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Knots (iteration, unit), never falling; beyond the first and last record as steep as on average."""
        name = _NAMES[kind]
        if name not in variables(self.run, "scalars"):
            return np.zeros(0), np.zeros(0)
        data = read(self.run, "scalars", [name], pixels=KNOTS, reductions=["min"])
        x = np.asarray(data["iteration"].values, dtype=np.float64)
        y = np.asarray(data[name].values[0], dtype=np.float64)
        known = np.isfinite(y)
        x, y = x[known], np.maximum.accumulate(y[known])
        if len(x) < 2 or not y[-1] > y[0]:
            return np.zeros(0), np.zeros(0)
        y = y - y[0] if kind == "time" else y
        pick = np.unique(np.linspace(0, len(x) - 1, KNOTS).astype(int))
        x, y = x[pick], y[pick]
        slope = (y[-1] - y[0]) / (x[-1] - x[0])
        ends = np.array([min(self.start, x[0] - 1), max(self.stop, x[-1] + 1)])
        before, after = y[0] + slope * (ends[0] - x[0]), y[-1] + slope * (ends[1] - x[-1])
        return np.r_[ends[0], x, ends[1]], np.r_[before, y, after]


_READ = """
const xs = line.data.x, ys = line.data.y, time = kind == 'time'
const at = (from, to, v) => {
  let low = 0, high = from.length - 1
  while (high - low > 1) { const middle = (low + high) >> 1; if (from[middle] < v) low = middle; else high = middle }
  const wide = from[high] - from[low]
  return wide > 0 ? to[low] + (to[high] - to[low]) * (v - from[low]) / wide : to[high]
}
"""
_TICKS = (
    _READ
    + """
const low = at(xs, ys, Math.min(cb_data.start, cb_data.end)), high = at(xs, ys, Math.max(cb_data.start, cb_data.end))
const steps = time ? [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400] : []
const rough = (high - low) / 7
let step = steps.find(s => s >= rough)
if (step === undefined) {
  const power = 10 ** Math.floor(Math.log10(rough))
  step = power * [1, 2, 5, 10].find(s => power * s >= rough)
}
if (kind == 'iteration' || kind == 'samples') step = Math.max(1, Math.round(step))
const ticks = []
for (let v = Math.ceil(low / step) * step; v <= high && ticks.length < 40; v += step) ticks.push(at(ys, xs, v))
return ticks
"""
)
_LABEL = (
    _READ
    + """
const value = at(xs, ys, tick)
if (time) {
  const seconds = Math.round(value), two = n => String(n).padStart(2, '0')
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}
const near = Math.abs(value - Math.round(value)) < 1e-6 * Math.max(1, Math.abs(value)) ? Math.round(value) : value
const shown = Number.isInteger(near) ? near : +near.toPrecision(9)  // an iteration keeps all its digits
return shown.toLocaleString('en-US', {maximumFractionDigits: 3})
"""
)

__all__ = ["LABELS", "Clock"]
