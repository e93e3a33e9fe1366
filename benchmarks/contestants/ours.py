"""Our run, read as the views read it: just opened, or held open as a page holds it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from contestants.data import ASKED, Array, Contestant, Data
from deeptracker import screen
from deeptracker.aggregate import build_index
from deeptracker.screen import answers
from deeptracker.store import LogWriter, Run, open_run
from deeptracker.store.arrays import row_files

VIEW = "validation/raw"
EVERY: Any = {"pixels": 1 << 40, "cells": 1 << 40}


class Ours(Contestant):
    """A run with its index.

    It also holds the columns that the others leave out, as NaN: their seconds and bytes are counted against us.
    """

    name = "DeepTracker"
    run: Run

    def __init__(self, folder: Path, data: Data) -> None:
        super().__init__(data)
        self.path = self.size_in = folder / "run"

    def write(self) -> None:
        taken = self.data.taken
        with LogWriter(self.path) as writer:
            writer.describe(taken.attributes)
            for group, table in taken.tables.items():
                writer.put(group, table)
            for group, axes in taken.axes.items():
                writer.coordinates(group, axes)
            for group, position, row in taken.rows:
                writer.append(group, position, row)
        began = time.perf_counter()
        build_index(open_run(self.path))
        self.note = f"of it {time.perf_counter() - began:.1f} s for the index"

    def ask(self, question: str) -> Array | None:
        screen.forget()
        row_files.cache_clear()
        self.run = open_run(self.path)
        return super().ask(question)

    def one_layer(self) -> Array:
        part = {"filter": self.data.part(self.data.layer)}
        return screen.read(self.run, "filters/dense", [ASKED], select=part, **EVERY)[ASKED].values[0]

    def one_iteration(self) -> Array:
        at = self.data.iteration
        return screen.read(self.run, "filters/dense", [ASKED], at, at, **EVERY)[ASKED].values[0, 0]

    def layer_means(self) -> Array:
        return self.data.means(screen.read(self.run, "filters/dense", [ASKED], **EVERY)[ASKED].values[0])

    def classes(self) -> Array:
        group = f"index/validation/{VIEW}/classes"
        return screen.read(self.run, group, ["accuracy"], **EVERY)["accuracy"].values[0]

    def images(self) -> Array:
        rows = np.sort(answers.classes_of(self.run, VIEW).members(self.data.label))
        return answers.images_of(self.run, VIEW, rows)["correct"].values


class Opened(Ours):
    """The same run, opened once; no values are kept."""

    name = "DeepTracker, run open"

    def __init__(self, ours: Ours) -> None:
        Contestant.__init__(self, ours.data)
        self.path = ours.path

    def write(self) -> None:
        self.run = open_run(self.path)

    def ask(self, question: str) -> Array | None:
        screen.forget_values()
        return Contestant.ask(self, question)


__all__ = ["Opened", "Ours"]
