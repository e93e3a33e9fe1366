"""What every contestant writes and is asked: a simulated training held in memory, and the right answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.testing import simulate

KEPT = ("w_rms", "g_rms", "update_angle")
ASKED = KEPT[0]
QUESTIONS = ("one layer", "one iteration", "layer means", "classes", "images")
Array = np.ndarray[Any, Any]


class Taken:
    """A sink that keeps what a simulation gives: of the filters only ``KEPT``, the others NaN."""

    background_seconds = 0.0

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.tables: dict[str, Any] = {}
        self.axes: dict[str, Any] = {}
        self.rows: list[tuple[str, int, dict[str, Any]]] = []

    def describe(self, attributes: Any) -> None:
        self.attributes |= attributes

    def put(self, group: str, table: Any) -> None:
        self.tables[group] = table

    def coordinates(self, group: str, coordinates: Any) -> None:
        self.axes[group] = coordinates

    def append(self, group: str, position: int, row: Any) -> None:
        if group.endswith(("/full", "/probe")):
            return
        row = {name: np.array(value) for name, value in row.items()}
        if group == "filters/dense":
            nothing = np.full(len(row[ASKED]), np.nan, np.float32)
            row = {name: nothing if v.dtype == np.float32 and name not in KEPT else v for name, v in row.items()}
        self.rows.append((group, position, row))

    def close(self) -> None: ...


@dataclass
class Data:
    """What everybody writes: statistics (iterations, filters), ``predicted`` and ``correct`` (passes, images)."""

    taken: Taken
    iterations: Array = field(init=False)
    passes: Array = field(init=False)
    statistics: dict[str, Array] = field(init=False)
    predicted: Array = field(init=False)
    correct: Array = field(init=False)

    def __post_init__(self) -> None:
        filters = [(at, row) for group, at, row in self.taken.rows if group == "filters/dense"]
        seen = [(at, row) for group, at, row in self.taken.rows if group.startswith("validation/")]
        self.iterations, self.passes = (np.array([at for at, _ in rows]) for rows in (filters, seen))
        self.statistics = {name: np.stack([row[name] for _, row in filters]) for name in KEPT}
        self.predicted, self.correct = (np.stack([row[name] for _, row in seen]) for name in ("predicted", "correct"))
        net = self.taken.tables["architecture"]
        self.layers = [str(name) for name in net["layer"].values]
        self.first, self.count = net["first_filter"].values.astype(int), net["filters"].values.astype(int)
        self.target = self.taken.tables["images/validation"]["target"].values.astype(int)
        self.classes = int(self.target.max()) + 1
        # What is asked: the largest layer, the iteration in the middle, the class in the middle.
        self.layer = int(len(self.count) - 1 - np.argmax(self.count[-2::-1]) - 1)
        self.iteration, self.label = int(self.iterations[len(self.iterations) // 2]), self.classes // 2

    def part(self, layer: int) -> slice:
        """Filters of a layer."""
        return slice(self.first[layer], self.first[layer] + self.count[layer])

    def means(self, values: Array) -> Array:
        """(iterations, filters) → mean over the filters of each layer."""
        return np.add.reduceat(values.astype(np.float64), self.first, axis=1) / self.count

    def right(self) -> dict[str, Array]:
        """The answers."""
        of_class = self.target == self.label
        asked = self.statistics[ASKED]
        accuracy = np.stack([self.correct[:, self.target == c].mean(axis=1) for c in range(self.classes)], axis=1)
        return {
            "one layer": asked[:, self.part(self.layer)],
            "one iteration": asked[self.iterations == self.iteration][0],
            "layer means": self.means(asked),
            "classes": accuracy,
            "images": self.correct[:, of_class],
        }


def simulated(model: str, **sizes: int) -> Data:
    """A training of these sizes, as ``deeptracker.testing.simulate`` takes them."""
    taken: Any = Taken()
    simulate(taken, model=model, **sizes)
    return Data(taken)


class Contestant:
    """One way to keep the data. Each question is a method; None where it cannot be answered.

    Attributes
    ----------
    size_in : folder that holds what was written; None for who reads what another has written.
    """

    name, note = "", ""
    size_in: Path | None = None

    def __init__(self, data: Data) -> None:
        self.data = data

    def write(self) -> None:
        """Write everything."""

    def ask(self, question: str) -> Array | None:
        """The answer to one of ``QUESTIONS``, read from what is on disk; nothing is kept from the one before."""
        answer: Array | None = getattr(self, question.replace(" ", "_"))()
        return answer

    def one_layer(self) -> Array | None:
        """``ASKED`` of the filters of ``data.layer``, (iterations, filters)."""
        return None

    def one_iteration(self) -> Array | None:
        """``ASKED`` of all filters at ``data.iteration``, (filters,)."""
        return None

    def layer_means(self) -> Array | None:
        """Mean of ``ASKED`` over the filters of each layer, (iterations, layers)."""
        return None

    def classes(self) -> Array | None:
        """Share of right answers of each class, (passes, classes)."""
        return None

    def images(self) -> Array | None:
        """Whether the images of class ``data.label`` were answered rightly, (passes, images)."""
        return None


__all__ = ["ASKED", "KEPT", "QUESTIONS", "Array", "Contestant", "Data", "simulated"]
