"""Honest links: layers that were anomalous with a class more often than time alone explains. Array tier.

Faults, and the beginning of a training, make everything abnormal at once: counted over the whole run, every layer
then goes with every class. So passes are compared with their neighbours only. Within strata of 20 successive passes
the passes of all layers are permuted together, those of the classes stay: that keeps how layers go together, and how
often either is abnormal in a stratum. The largest of all links in each draw tells what the largest means here
(Westfall & Young 1993, single step).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STRATUM, DRAWS = 20, 1_999
_PART = 0.25  # of a joint pass, squared: what hardly could be does not get the largest score by one chance

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Strata:
    """What a draw needs: the passes of those strata in which something can be permuted.

    Attributes
    ----------
    number : (passes,) of the stratum, ascending.
    layers, classes : (passes, layers) and (passes, classes), 0 or 1.
    mean, scale : (layers, classes) joint passes that chance gives: expectation, and deviation with a quarter of a
        pass added to its square.
    """

    number: npt.NDArray[np.int64]
    layers: Floats
    classes: Floats
    mean: Array
    scale: Array

    @classmethod
    def of(cls, layers: Flags, classes: Flags) -> Strata:
        """From (passes, layers), any filter at its alarm level, and (passes, classes), the class abnormal."""
        number = np.arange(len(layers)) // STRATUM
        size = np.bincount(number).astype(np.float64)[:, None]
        n, m = _sums(layers, number), _sums(classes, number)
        spread_n, spread_m = n * (size - n), m * (size - m)
        moves: Flags = np.any(spread_n, axis=1) & np.any(spread_m, axis=1)  # elsewhere every draw is what happened
        n, m, size = n[moves], m[moves], size[moves]
        # Hypergeometric: of N passes n anomalous, m abnormal.
        variance = (spread_n[moves] / (size**2 * (size - 1))).T @ spread_m[moves]
        kept = moves[number]
        return cls(
            number[kept],
            layers[kept].astype(np.float32),
            classes[kept].astype(np.float32),
            (n / size).T @ m,
            np.sqrt(variance + _PART),
        )

    def score(self) -> Array:
        """Standardised joint passes of each link, (layers, classes)."""
        return self._score(self.layers, slice(None))

    def largest(self, draws: range) -> Array:
        """Largest score of any link in each of some draws, at least 0; a draw is the same whichever others are asked
        for.
        """
        out = np.zeros(len(draws))
        some = np.flatnonzero(self.classes.any(axis=0))
        for place, draw in enumerate(draws):
            keys = np.random.default_rng([draw, len(self.number)]).random(len(self.number))
            permuted = self.layers[np.lexsort((keys, self.number))]
            out[place] = self._score(permuted, some).max(initial=0.0)
        return out

    def _score(self, layers: Floats, classes: npt.NDArray[np.intp] | slice) -> Array:
        joint = layers.T @ self.classes[:, classes]
        out: Array = (joint - self.mean[:, classes]) / self.scale[:, classes]
        return out


def _sums(flags: Flags, number: npt.NDArray[np.int64]) -> Array:
    """Of each stratum, (strata, columns)."""
    starts = np.unique(number, return_index=True)[1]
    values = flags.astype(np.float64)
    return np.add.reduceat(values, starts, axis=0) if len(starts) else values


def p_values(score: Array, largest: Array) -> Array:
    """Share of draws, the run itself among them, whose largest link scores as high; for (layers, classes)."""
    ordered = np.sort(largest)
    as_high = len(ordered) - np.searchsorted(ordered, score - 1e-9, side="left")
    out: Array = (1 + as_high) / (1 + len(ordered))
    return out


__all__ = ["DRAWS", "STRATUM", "Strata", "p_values"]
