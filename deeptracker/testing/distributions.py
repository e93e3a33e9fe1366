"""What the rarer schedules would have measured, from the state of a simulated network in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from deeptracker.statistics import HISTOGRAM_EDGES, THRESHOLDS
from deeptracker.testing.evolution import Evolution

Float64 = npt.NDArray[np.float64]
Rows = dict[str, npt.NDArray[Any]]

_QUARTILE = 0.6744897501960817


def full_rows(
    evolution: Evolution, filters: Rows, layers: Rows, parameters: npt.NDArray[np.int64]
) -> tuple[Rows, Rows]:
    """Rows of ``filters/full`` and ``layers/full``: normal weights, and gradients independent of them.

    Parameters
    ----------
    filters, layers : the standard statistics of the same record, (filters,) and (layers,).
    parameters : (layers,) number of weights.
    """
    per_filter, per_layer = ({**_quartiles(values)} for values in (filters, layers))
    upper = np.append(HISTOGRAM_EDGES[1:], np.inf)
    for letter in "wg":
        mean, std = (layers[f"{letter}_{what}"].astype(np.float64)[:, None] for what in ("mean", "std"))
        std = np.maximum(std, 1e-30)
        share = ndtr((upper - mean) / std) - ndtr((HISTOGRAM_EDGES - mean) / std)
        per_layer[f"{letter}_hist"] = _whole(share, parameters)
    # The ratio of two independent centred normal numbers is Cauchy distributed.
    scale = (layers["g_std"] / layers["w_std"]).astype(np.float64)[:, None]
    per_layer["change_ratio_cdf"] = (2 / np.pi * np.arctan(THRESHOLDS / scale)).astype(np.float32)
    norms = evolution.square
    largest = np.maximum.reduceat(norms, evolution.first)
    rank = np.add.reduceat(norms, evolution.first) / (2.5 * largest)
    per_layer["stable_rank"] = np.maximum(rank, 1).astype(np.float32)
    return per_filter, per_layer


def _quartiles(values: Rows) -> Rows:
    out: Rows = {}
    for letter in "wg":
        mean, std = values[f"{letter}_mean"], values[f"{letter}_std"]
        for name, sign in (("q1", -1), ("median", 0), ("q3", 1)):
            out[f"{letter}_{name}"] = (mean + sign * _QUARTILE * std).astype(np.float32)
    return out


def _whole(share: Float64, total: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Whole numbers whose rows add up to ``total``, in proportion to ``share``."""
    edges = np.cumsum(share, axis=1)
    edges = np.rint(edges / edges[:, -1:] * total[:, None])
    return np.diff(edges, axis=1, prepend=0).astype(np.int32)


def probe_rows(evolution: Evolution) -> tuple[Rows, Rows]:
    """Rows of ``filters/probe`` and ``layers/probe``: a rectified normal variable with the normalisation's β and γ.

    A layer's values are those of its filters' mixture, all filters weighing the same.
    """
    linear = np.isnan(evolution.gamma)
    gamma, beta = np.where(linear, 1.0, evolution.gamma), np.where(linear, 0.0, evolution.beta)
    at = beta / gamma
    density = np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)
    mean = np.where(linear, beta, beta * ndtr(at) + gamma * density)
    square = np.where(linear, beta**2 + gamma**2, (beta**2 + gamma**2) * ndtr(at) + beta * gamma * density)
    zeros = np.where(linear, 0.0, ndtr(-at))
    size = np.diff(np.append(evolution.first, len(mean)))
    parts = {"mean": mean, "square": square, "zeros": zeros}
    merged = {name: np.add.reduceat(part, evolution.first) / size for name, part in parts.items()}
    return _activations(**parts), _activations(**merged)


def _activations(mean: Float64, square: Float64, zeros: Float64) -> Rows:
    return {
        "act_mean": mean.astype(np.float32),
        "act_std": np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32),
        "act_zero_fraction": zeros.astype(np.float32),
    }
