"""A simulated training recorded in parts: the same rows, whether in one go or with analyses in between."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.store import LogWriter
from deeptracker.testing import simulate

ITERATIONS = 1600
JUMPS = {660: 7, 1550: 11}
"""Iteration → the filter that leaves its layer there: one in what is old, one in what is new."""


class Part(LogWriter):
    """Takes only the rows of some iterations, and lets single filters jump in them."""

    def __init__(self, path: Path, start: int, stop: int, budget: Mapping[str, int] | None) -> None:
        super().__init__(path, background=False)
        self.start, self.stop, self.budget = start, stop, budget

    def describe(self, attributes: Mapping[str, Any]) -> None:
        super().describe({**attributes, "disk_budget": self.budget})

    def put_many(self, tables: Mapping[str, Any]) -> None:
        if not self.start:
            super().put_many(tables)

    def append(self, group: str, position: int, row: Mapping[str, Any]) -> None:
        if not self.start <= position < self.stop:
            return
        if group == "filters/dense" and position in JUMPS:
            row = {name: np.array(value) for name, value in row.items()}
            for name in ("grad_ratio2", "update_angle"):
                row[name][JUMPS[position]] *= 50
        super().append(group, position, row)


def record(path: Path, start: int, stop: int, budget: Mapping[str, int] | None) -> None:
    """Iterations [start, stop) of one and the same training."""
    sizes: dict[str, Any] = {"iterations": ITERATIONS, "images": 60, "passes": 32, "classes": 3, "seed": 5}
    simulate(Part(path, start, stop, budget), model="tiny", **sizes, anomalies=False)
