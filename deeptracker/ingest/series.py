"""A series of checkpoints as a recording: one is read at a time, and only the weights of the one before are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.conform import build
from deeptracker.errors import DeepTrackerError, InputError
from deeptracker.ingest.arrays import SAFE, is_array, numpy
from deeptracker.ingest.checkpoint import Checkpoint, read_checkpoint
from deeptracker.ingest.network import NORMALISATION, Network, find_network, is_real
from deeptracker.ingest.numbering import Numbering
from deeptracker.ingest.outcome import Outcome
from deeptracker.ingest.scalars import Scalars, steps_since
from deeptracker.sink import Sink
from deeptracker.statistics import HISTOGRAM_EDGES, THRESHOLDS, StandardSet, full_set

Array = np.ndarray[Any, Any]


class Series:
    """Writes ``architecture``, ``initial``, ``filters`` and ``layers`` from checkpoints in natural order.

    Raises
    ------
    InputError
        From the constructor: no file holds the weights of a layer.
    """

    def __init__(
        self,
        files: Sequence[Path],
        root: Path,
        outcome: Outcome,
        *,
        include: str | None,
        exclude: str | None,
        steps_per_epoch: int | None,
    ) -> None:
        self._root, self._outcome = root, outcome
        self._numbering = Numbering(root, steps_per_epoch, outcome)
        # Copies under other names (best, last) come after the numbered files that they repeat.
        rest = sorted(files, key=lambda file: not any(letter.isdigit() for letter in self._name(file)))
        first: Checkpoint | None = None
        while rest:
            first = self._open(rest[0])
            if first is not None:
                self.network = find_network(
                    first.parameters, by_name=rest[0].suffix in SAFE, include=include, exclude=exclude
                )
                if self.network.layers:
                    break
                outcome.leave_out(self._name(rest[0]), "holds no weights of layers (*.weight with two axes or more)")
            rest = rest[1:]
        if not rest or first is None:
            raise self._none()
        self._files = rest
        self._numbering.fix(rest[0], first, len(rest) == 1)
        self._first: Checkpoint | None = first
        self.iterations: list[int] = []
        for name, reason in self.network.left_out.items():
            outcome.leave_out(name, reason)

    @property
    def epochs(self) -> bool:
        """Whether the iterations of the series count epochs."""
        return self._numbering.epochs

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _open(self, path: Path) -> Checkpoint | None:
        try:
            return read_checkpoint(path, self._outcome.leave_out)
        except DeepTrackerError as error:
            self._outcome.leave_out(self._name(path), str(error).removeprefix(f"{path.name}: "))
            return None

    def _none(self) -> InputError:
        why = "; ".join(f"{what}: {reason}" for what, reason in self._outcome.grouped()[:3])
        return InputError(f"no checkpoint of {self._root} can be used: {why}")

    def write(self, sink: Sink, scalars: Scalars, progress: Callable[[str, float], None]) -> None:
        """Read every checkpoint once and append its rows.

        Raises
        ------
        InputError
            None has an iteration.
        """
        standard: StandardSet | None = None
        for number, path in enumerate(self._files):
            progress("checkpoints", number / len(self._files))
            checkpoint, self._first = (self._first, None) if self._first is not None else (self._open(path), None)
            if checkpoint is None:
                continue
            try:
                weights = self._rows(checkpoint)
                iteration = self._numbering.iteration(path, checkpoint)
            except InputError as error:
                self._outcome.leave_out(self._name(path), str(error))
                continue
            if standard is None:
                self._open_groups(sink, weights, checkpoint)
                standard = StandardSet(weights)
            self._append(sink, scalars, standard, iteration, weights, checkpoint)
        if not self.iterations:
            raise self._none()
        layers = self.network.layers
        filters = sum(layer.filters for layer in layers)
        self._outcome.found.append(
            f"{len(self.iterations)} checkpoints, iterations {self.iterations[0]}–{self.iterations[-1]}: "
            f"{len(layers)} layers, {filters:,} filters"
        )
        self._outcome.note(f"layers: {self.network.order}; rotation is counted from the first checkpoint")

    def _rows(self, checkpoint: Checkpoint) -> list[Array]:
        """Weights of all layers of a checkpoint.

        Raises
        ------
        InputError
            A layer is missing, or has another shape or kind of numbers than in the first checkpoint.
        """
        for layer in self.network.layers:
            leaf = checkpoint.parameters.get(layer.parameter)
            if leaf is None:
                raise InputError(f"lacks {layer.parameter}, which the first checkpoint has")
            if tuple(leaf.shape) != layer.shape:
                here, there = ("×".join(map(str, shape)) for shape in (leaf.shape, layer.shape))
                raise InputError(f"{layer.parameter} is {here}, but {there} in the first checkpoint")
            if not is_real(leaf):
                raise InputError(
                    f"{layer.parameter} is not of floating-point numbers, unlike in the first checkpoint"
                )
        return [layer.rows(checkpoint.parameters[layer.parameter]) for layer in self.network.layers]

    def _gradients(self, checkpoint: Checkpoint) -> list[Array | None]:
        out: list[Array | None] = []
        for layer in self.network.layers:
            gradient = checkpoint.gradients.get(layer.parameter)
            momentum = checkpoint.momentum.get(layer.parameter)
            leaf = gradient if gradient is not None else momentum[0] if momentum is not None else None
            if leaf is None or not is_array(leaf) or tuple(leaf.shape) != layer.shape:
                if leaf is not None:
                    self._outcome.leave_out(f"gradient of {layer.parameter}", "has another shape than its weights")
                out.append(None)
                continue
            if not is_real(leaf):
                self._outcome.leave_out(f"gradient of {layer.parameter}", "is not of floating-point numbers")
                out.append(None)
                continue
            rows = layer.rows(leaf)
            if gradient is None and momentum is not None:
                rows *= np.float32(momentum[1])
                self._outcome.note(
                    "no gradients in the files: g_* are of the optimizer's momentum, scaled to an average of past "
                    "gradients (weight decay included where the optimizer adds it)"
                )
            out.append(rows)
        return out

    def _append(
        self, sink: Sink, scalars: Scalars, standard: StandardSet, iteration: int, weights: list[Array], c: Checkpoint
    ) -> None:
        gradients = self._gradients(c)
        if any(rows is not None for rows in gradients):
            standard.gradients(gradients)
        standard.weights(weights)
        filters, layers, norm = standard.derive()
        steps = steps_since(self.iterations[-1] if self.iterations else None, iteration)
        rows: dict[str, Any] = {**filters, **self._normalisations(c), "steps": steps}
        sink.append("filters/dense", iteration, rows)
        sink.append("layers/dense", iteration, {**layers, "steps": steps})
        full_filters, full_layers = full_set(weights, gradients)
        sink.append("filters/full", iteration, full_filters)
        sink.append("layers/full", iteration, full_layers)
        nan = float("nan")
        epoch = self._numbering.epoch(iteration) if c.epoch is None else c.epoch
        loss = nan if c.loss is None else c.loss
        scalars.put(iteration, c.rates, grad_norm=norm, epoch=epoch, loss=loss)
        self.iterations.append(iteration)

    def _normalisations(self, checkpoint: Checkpoint) -> dict[str, Array]:
        total = sum(layer.filters for layer in self.network.layers)
        out = {name: np.full(total, np.nan, np.float32) for name, _ in NORMALISATION}
        for layer, first in zip(self.network.layers, self.network.first, strict=True):
            for name, part in NORMALISATION:
                leaf = checkpoint.parameters.get(f"{layer.normalisation}.{part}") if layer.normalisation else None
                if leaf is not None and is_real(leaf) and tuple(leaf.shape) == (layer.filters,):
                    out[name][first : first + layer.filters] = numpy(leaf)
        return out

    def _open_groups(self, sink: Sink, weights: list[Array], checkpoint: Checkpoint) -> None:
        norms = np.array([np.sqrt(np.sum(rows.astype(np.float64) ** 2)) for rows in weights])
        initial = {f"initial/{n}": build("initial/<number>", {"weight": rows}, {}) for n, rows in enumerate(weights)}
        sink.put_many({"architecture": self.network.dataset(norms, checkpoint.rate_groups), **initial})
        names = [layer.name for layer in self.network.layers]
        for schedule in ("dense", "full"):
            extra = {"bin": HISTOGRAM_EDGES, "threshold": THRESHOLDS} if schedule == "full" else {}
            sink.coordinates(f"filters/{schedule}", {})
            sink.coordinates(f"layers/{schedule}", {"layer": names, **extra})


__all__ = ["Network", "Series"]
