"""The full set over all layers of a net: quartiles, histograms, the change-ratio distribution, the stable rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deeptracker.statistics.distributions import (
    HISTOGRAM_EDGES,
    THRESHOLDS,
    change_ratio_cdf,
    histogram,
    histogram_quartiles,
    stable_rank,
)
from deeptracker.statistics.parallel import RowShares
from deeptracker.statistics.selection import quartiles

Array = np.ndarray[Any, Any]
Named = dict[str, Array]
_NAMES = ("q1", "median", "q3")
_EXACT = 1 << 16  # weights of a filter up to which its quartiles are exact


def filter_quartiles(arrays: Sequence[Array | None], filters: Sequence[int], threads: int | None = None) -> Array:
    """First quartile, median and third quartile of every filter of a net, as ``full_set`` says.

    Parameters
    ----------
    arrays : one array of filters × weights a layer, float32; None gives NaN.
    filters : how many each layer has.
    threads : see ``RowShares``.

    Returns
    -------
    (3, all filters) float32.
    """
    first = np.cumsum(filters) - filters
    out = np.full((len(_NAMES), sum(filters)), np.nan, np.float32)

    def of_share(layer: int, start: int, stop: int) -> None:
        rows = arrays[layer]
        if rows is not None:
            out[:, first[layer] + start : first[layer] + stop] = _of_rows(rows[start:stop])

    RowShares([(0, 0) if rows is None else (rows.shape[0], rows.shape[1]) for rows in arrays], threads).run(of_share)
    return out


def full_set(weights: Sequence[Array], gradients: Sequence[Array | None]) -> tuple[Named, Named]:
    """Statistics of the full schedule, per filter and per layer.

    Quartiles of a filter are exact up to 65,536 weights; those of larger filters and of whole layers are read off
    the layer's (the filter's) fixed histogram, see ``histogram_quartiles`` for the bound.

    Parameters
    ----------
    weights : one array of filters × weights a layer, float32, C-ordered.
    gradients : the same of gradients, weights in the same order; None where there is none: NaN.
    """
    sizes = [len(rows) for rows in weights]
    filters: Named = {}
    for letter, arrays in (("w", weights), ("g", gradients)):
        for name, values in zip(_NAMES, filter_quartiles(arrays, sizes), strict=True):
            filters[f"{letter}_{name}"] = values
    layers: Named = {
        f"{letter}_{name}": np.full(len(sizes), np.nan, np.float32) for letter in "wg" for name in _NAMES
    }
    for letter in "wg":
        layers[f"{letter}_hist"] = np.zeros((len(sizes), len(HISTOGRAM_EDGES)), np.int32)
    layers["change_ratio_cdf"] = np.full((len(sizes), len(THRESHOLDS)), np.nan, np.float32)
    layers["stable_rank"] = np.full(len(sizes), np.nan, np.float32)
    given = {"w": weights, "g": gradients}

    def per_layer(layer: int, _start: int, _stop: int) -> None:
        for letter, arrays in given.items():
            rows = arrays[layer]
            if rows is not None:
                counts, values = _of_whole(rows)
                layers[f"{letter}_hist"][layer] = counts
                for name, value in zip(_NAMES, values, strict=True):
                    layers[f"{letter}_{name}"][layer] = value
        w, g = weights[layer], gradients[layer]
        nothing = np.broadcast_to(np.float32(np.nan), w.shape)
        layers["change_ratio_cdf"][layer] = change_ratio_cdf(w, nothing if g is None else g)
        layers["stable_rank"][layer] = stable_rank(w)

    RowShares([(1, rows.size) for rows in weights]).run(per_layer)
    return filters, layers


def _of_rows(rows: Array) -> Array:
    if rows.shape[1] <= _EXACT:
        return quartiles(rows)
    return np.stack([_of_whole(row[None])[1] for row in rows], axis=1)


def _of_whole(rows: Array) -> tuple[Array, Array]:
    counts = histogram(rows)
    finite = rows if np.isfinite(rows).all() else rows[np.isfinite(rows)]
    extremes = (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)
    return counts, histogram_quartiles(counts, *extremes)


__all__ = ["filter_quartiles", "full_set"]
