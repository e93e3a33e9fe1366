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
ROWS = 64
"""Worked on at once, step after step: few enough to stay in the processor's cache."""
_FEW_PLACES = 8  # that a partition finds sooner than a sort
RESOLUTION = 2.0**-22
"""Steps of float32 in a logarithm, or around one, are half of it: no scale is smaller, or each step is an anomaly."""
_TO_DEVIATION = 1.4826  # median absolute deviation of a normal → its standard deviation


def residuals(series: Array, starts: Index) -> Array:
    """(rows, records) minus the trailing median of each row (≥ 50 records of its segment, at most 200)."""
    out = np.empty_like(series)
    for first in range(0, len(series), ROWS):
        some = slice(first, first + ROWS)
        past = trailing_median(series[some], starts, window=WINDOW, least=LEAST_RECORDS)
        np.subtract(series[some], past, out=out[some])
    return out


def own_scale(values: Array, starts: Index) -> Array:
    """Trailing robust deviation of each row of residuals, (rows, records); NaN under 50 residuals."""
    spread = trailing_median(np.abs(values), starts, window=WINDOW, least=LEAST_RESIDUALS)
    return _TO_DEVIATION * spread


def _median(values: Array) -> Array:
    """Median over rows of the values that are there, (records,); NaN where none is."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    count = np.sum(~np.isnan(values), axis=0)
    lower, upper = np.maximum((count - 1) // 2, 0), np.minimum(count // 2, len(values) - 1)
    places = np.union1d(lower, upper)
    # NaN comes last in either.
    ordered = np.partition(values, places, axis=0) if len(places) <= _FEW_PLACES else np.sort(values, axis=0)
    low, high = (np.take_along_axis(ordered, place[None], 0)[0] for place in (lower, upper))
    return np.where(count > 0, 0.5 * (low + high), np.nan)


def score(series: Array, starts: Index, layer: Index, common_of: Index) -> tuple[Array, Array]:
    """Scores of one signal for the filters of some whole layers.

    Parameters
    ----------
    series : (filters, records) watched values.
    starts : (records,) segments, as in ``trailing_median``.
    layer : (filters,) number of each filter's layer, 0 … n−1 among these, ascending.
    common_of : (n,) for each layer the group whose median is its common move: itself, or its block if it has fewer
        than 8 filters.

    Returns
    -------
    filter scores (filters, records) and layer scores (n, records), both signed, in robust standard deviations of
    their own past; NaN with too little history or where nothing ever varied.
    """
    pieces = [slice(*np.searchsorted(layer, (number, number + 1))) for number in range(len(common_of))]
    own = residuals(series, starts)
    moves = np.stack([_median(own[piece]) for piece in pieces])
    common = moves.copy()
    for one, members in _shared(common_of).items():
        common[members] = _median(own[np.isin(layer, members)]) if len(members) > 1 else moves[one]
    for number, piece in enumerate(pieces):
        own[piece] -= common[number]
    typical = np.stack([_median(np.abs(own[piece])) for piece in pieces])
    pooled = _TO_DEVIATION * trailing_median(typical, starts, window=WINDOW, least=LEAST_RESIDUALS)
    for first in range(0, len(own), ROWS):
        some = slice(first, first + ROWS)
        scale = np.sqrt(0.5 * own_scale(own[some], starts) ** 2 + 0.5 * pooled[layer[some]] ** 2)
        own[some] = _divide(own[some], scale)
    return own, _divide(moves, own_scale(moves, starts))


def _shared(common_of: Index) -> dict[int, Index]:
    """Layers that have a common move together, by the first of them."""
    return {int(first): np.flatnonzero(common_of == first) for first in np.unique(common_of)}


def _divide(top: Array, bottom: Array) -> Array:
    return np.divide(top, np.maximum(bottom, RESOLUTION), out=np.full_like(top, np.nan), where=bottom > 0)
