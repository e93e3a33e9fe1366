"""TensorBoard: a histogram of each layer's filters, a scalar for each class. It cannot tell single filters or images.

Histograms and scalars go to folders of their own, as trainings have ``train`` and ``validation``: who asks for one
need not load the other. It writes one statistic of three; its bytes and seconds are not scaled.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from contestants.data import ASKED, Array, Contestant, Data


class Board(Contestant):
    """Two folders of event files."""

    name = "TensorBoard"
    note = "no filters, no images; a third of the statistics"

    def __init__(self, folder: Path, data: Data) -> None:
        super().__init__(data)
        self.folder = self.size_in = folder / "board"
        self.accuracy = data.right()["classes"]
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("tensorboard").setLevel(logging.ERROR)

    def write(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        data = self.data
        with SummaryWriter(str(self.folder / "filters"), max_queue=10_000) as writer:
            for number, at in enumerate(data.iterations):
                for layer, name in enumerate(data.layers):
                    writer.add_histogram(f"{ASKED}/{name}", data.statistics[ASKED][number, data.part(layer)], int(at))
        with SummaryWriter(str(self.folder / "answers"), max_queue=10_000) as writer:
            for number, at in enumerate(data.passes):
                for label in range(data.classes):
                    writer.add_scalar(f"accuracy/{label}", self.accuracy[number, label], int(at))

    def _loaded(self, folder: str) -> Any:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        everything = {"histograms": 0, "scalars": 0, "tensors": 0}
        return EventAccumulator(str(self.folder / folder), size_guidance=everything).Reload()

    def layer_means(self) -> Array:
        events = self._loaded("filters")
        found = [[e.histogram_value for e in events.Histograms(f"{ASKED}/{name}")] for name in self.data.layers]
        return np.array([[one.sum / one.num for one in layer] for layer in found]).T

    def classes(self) -> Array:
        events = self._loaded("answers")
        labels = range(self.data.classes)
        return np.array([[e.value for e in events.Scalars(f"accuracy/{label}")] for label in labels]).T


__all__ = ["Board"]
