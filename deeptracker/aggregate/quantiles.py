"""Quantiles over the filters of a layer. Array tier."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def layer_quantiles(
    values: npt.NDArray[np.float32], first: npt.NDArray[np.integer], filters: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """Exact quantiles, linear between neighbours, NaN skipped (NaN where a layer has nothing else).

    Parameters
    ----------
    values : (records, filters of the net).
    first, filters : (layers,) where each layer begins on the filter axis, and how many filters it has.

    Returns
    -------
    (records, layers, 5) float32, for ``QUANTILES``.
    """
    out = np.full((len(values), len(first), len(QUANTILES)), np.nan, np.float32)
    for layer, (begin, size) in enumerate(zip(first.tolist(), filters.tolist(), strict=True)):
        if not size:
            continue
        ordered = np.sort(values[:, begin : begin + size], axis=1)  # NaN goes last
        count = size - np.isnan(ordered).sum(axis=1)
        for place, share in enumerate(QUANTILES):
            at = share * np.maximum(count - 1, 0)
            low = np.floor(at).astype(np.intp)
            high = np.minimum(low + 1, np.maximum(count - 1, 0))
            rows = np.arange(len(values))
            below, above = ordered[rows, low].astype(np.float64), ordered[rows, high].astype(np.float64)
            with np.errstate(invalid="ignore"):
                out[:, layer, place] = np.where(high > low, below + (above - below) * (at - low), below)
    return out


__all__ = ["QUANTILES", "layer_quantiles"]
