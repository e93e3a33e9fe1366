"""The standard set over all filters of a net, from arrays as they lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deeptracker.statistics.accumulate import GRADIENT, WEIGHT, accumulate_gradients, accumulate_weights
from deeptracker.statistics.derive import derive, no_gradients
from deeptracker.statistics.merge import merge
from deeptracker.statistics.parallel import RowShares

Array = np.ndarray[Any, Any]
Named = dict[str, Array]


class StandardSet:
    """Holds the previous and the initial weights, and reads each array once a record.

    Memory: twice the weights. Rows are filters × weights, float32, C-ordered (others are copied), one array a layer;
    the order of the weights within a row is the caller's, the same at every call.

    Parameters
    ----------
    initial : weights at construction, taken over (not copied). Rotation is defined from finite ones.
    current : weights that count as the previous ones at the first record; default: the initial ones.
    threads : see ``RowShares``.
    """

    def __init__(
        self, initial: Sequence[Array], current: Sequence[Array] | None = None, threads: int | None = None
    ) -> None:
        self.set_initial(initial)
        self._previous = [np.array(rows, np.float32, order="C") for rows in (initial if current is None else current)]
        sizes = np.array([len(rows) for rows in initial])
        self.first = (np.cumsum(sizes) - sizes).astype(np.intp)
        self.filters = int(sizes.sum())
        self._shares = RowShares([(rows.shape[0], rows.shape[1]) for rows in initial], threads)
        self._weights = np.full((self.filters, len(WEIGHT)), np.nan)
        self._gradients = no_gradients(self.filters)
        self._have_gradients = self._have_previous = False

    def gradients(
        self, rows: Sequence[Array | None], layers: Sequence[int] | None = None, scale: float = 1.0
    ) -> None:
        """Accumulate over gradients; None (a frozen layer) gives NaN.

        ``layers`` says whose they are, default all: several optimizers read theirs one after another.
        ``scale`` is what a loss scaler multiplied them by: the statistics are of the gradients without it.
        """
        numbers = range(len(self.initial)) if layers is None else layers
        given = {layer: _plain(values) for layer, values in zip(numbers, rows, strict=True) if values is not None}
        factors = None if scale == 1.0 else _powers(scale)

        def work(layer: int, start: int, stop: int) -> None:
            values = given.get(layer)
            if values is not None:
                first = self.first[layer]
                out = self._gradients[first + start : first + stop]
                accumulate_gradients(values[start:stop], out)
                if factors is not None:
                    out *= factors

        self._shares.run(work)
        self._have_gradients = True

    def weights(self, rows: Sequence[Array]) -> None:
        """Accumulate over the weights as they are now, and keep them as the previous ones."""
        now = [_plain(values) for values in rows]
        for values, first in zip(now, self.initial, strict=True):
            if values.shape != first.shape:  # the kernels would read what lies beyond it
                raise ValueError(f"weights of shape {values.shape}, not {first.shape} as at construction")

        def work(layer: int, start: int, stop: int) -> None:
            first = self.first[layer]
            accumulate_weights(
                now[layer][start:stop],
                self._previous[layer][start:stop],
                self.initial[layer][start:stop],
                self._weights[first + start : first + stop],
            )

        self._shares.run(work)

    def derive(self) -> tuple[Named, Named, float]:
        """Statistics per filter and per layer from what was read last, and the norm of all gradients.

        Gradients that were not read since the last call give NaN; at the first call everything about Δw is NaN.
        """
        had, self._have_previous = self._have_previous, True
        gradients = self._gradients if self._have_gradients else None
        result = rows_of(self._weights, gradients, self.first, has_previous=had)
        if self._have_gradients:
            self.forget_gradients()
        return result

    def forget_gradients(self) -> None:
        """Gradients that were read belong to no record after all."""
        self._gradients[:] = no_gradients(1)
        self._have_gradients = False

    def set_initial(self, initial: Sequence[Array]) -> None:
        """Count rotation from other initial weights."""
        self.initial = [_plain(rows) for rows in initial]


def _plain(rows: Array) -> Array:
    """As the kernels read them, bit by bit; nearly always the same array."""
    return np.ascontiguousarray(rows, np.float32)


def rows_of(
    weights: Array, gradients: Array | None, first: Array, *, has_previous: bool
) -> tuple[Named, Named, float]:
    """From accumulators of all filters to the statistics per filter, per layer, and the norm of all gradients."""
    merged = merge(gradients, first, GRADIENT) if gradients is not None else None
    filters: Named = dict(derive(weights, gradients, has_previous=has_previous))
    layers: Named = dict(derive(merge(weights, first, WEIGHT), merged, has_previous=has_previous))
    norm = float(np.sqrt(np.nansum(merged[:, GRADIENT.index("square")]))) if merged is not None else float("nan")
    return filters, layers, norm


def warm_up() -> None:
    """Compile now rather than within the first training step (about 6 s of one core, once a machine)."""
    tiny = np.ones((1, 1), np.float32)
    standard = StandardSet([tiny])
    standard.gradients([tiny])
    standard.weights([tiny])
    standard.derive()


def _powers(scale: float) -> Array:
    """What to multiply each accumulator by so that it is that of values divided by ``scale`` (positive)."""
    powers = {"sum": 1, "norm1": 1, "square": 2, "min": 1, "max": 1}
    return np.array([scale ** -powers.get(name, 0) for name in GRADIENT])


__all__ = ["StandardSet", "rows_of", "warm_up"]
