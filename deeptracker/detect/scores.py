"""Calibrated scores of filters and layers: residual from the own past, from the layer's common move, over a scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deeptracker.detect.rolling import trailing_median

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

WINDOW = 200
LEAST_RECORDS = 50
LEAST_RESIDUALS = 50
LEAST_FILTERS = 8
_TO_DEVIATION = 1.4826  # median absolute deviation of a normal → its standard deviation


def residuals(series: Array, starts: Index) -> Array:
    """(rows, records) minus the trailing median of each row (≥ 50 records of its segment, at most 200)."""
    return series - trailing_median(series, starts, window=WINDOW, least=LEAST_RECORDS)


def own_scale(values: Array, starts: Index) -> Array:
    """Trailing robust deviation of each row of residuals, (rows, records); NaN under 50 residuals."""
    spread = trailing_median(np.abs(values), starts, window=WINDOW, least=LEAST_RESIDUALS)
    return _TO_DEVIATION * spread


def _median(values: Array) -> Array:
    """Median over rows of the values that are there, (records,); NaN where none is."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    ordered = np.sort(values, axis=0)  # NaN sorts last
    count = np.sum(~np.isnan(values), axis=0)
    upper = np.take_along_axis(ordered, np.minimum(count // 2, len(values) - 1)[None], 0)[0]
    lower = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], 0)[0]
    return np.where(count > 0, 0.5 * (lower + upper), np.nan)


def score(series: Array, starts: Index, layer: Index, common_of: Index) -> tuple[Array, Array]:
    """Scores of one signal for the filters of some whole layers.

    Parameters
    ----------
    series : (filters, records) watched values.
    starts : (records,) segments, as in ``trailing_median``.
    layer : (filters,) number of each filter's layer, 0 … n−1 among these.
    common_of : (n,) for each layer the group whose median is its common move: itself, or its block if it has fewer
        than 8 filters.

    Returns
    -------
    filter scores (filters, records) and layer scores (n, records), both signed, in robust standard deviations of
    their own past; NaN with too little history or where nothing ever varied.
    """
    layers = len(common_of)
    raw = residuals(series, starts)
    moves = np.stack([_median(raw[layer == number]) for number in range(layers)])
    group = common_of[layer]
    common = {int(g): _median(raw[group == g]) for g in np.unique(group)}
    own = raw - np.stack([common[int(g)] for g in group]) if len(group) else raw
    spread = own_scale(own, starts)
    typical = np.stack([_median(np.abs(own[layer == number])) for number in range(layers)])
    pooled = _TO_DEVIATION * trailing_median(typical, starts, window=WINDOW, least=LEAST_RESIDUALS)
    scale = np.sqrt(0.5 * spread**2 + 0.5 * pooled[layer] ** 2)
    return _divide(own, scale), _divide(moves, own_scale(moves, starts))


def _divide(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
