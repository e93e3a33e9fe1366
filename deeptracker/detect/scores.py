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
_FEW_PLACES = 8  # that a partition finds sooner than a sort
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
    for first, members in _shared(common_of).items():
        common[members] = _median(own[np.isin(layer, members)]) if len(members) > 1 else moves[first]
    for number, piece in enumerate(pieces):
        own[piece] -= common[number]
    size = np.abs(own)
    typical = np.stack([_median(size[piece]) for piece in pieces])
    pooled = _TO_DEVIATION * trailing_median(typical, starts, window=WINDOW, least=LEAST_RESIDUALS)
    scale = trailing_median(size, starts, window=WINDOW, least=LEAST_RESIDUALS)
    for number, piece in enumerate(pieces):
        _scale(scale[piece], pooled[number])
    return _divide(own, scale), _divide(moves, own_scale(moves, starts))


def _shared(common_of: Index) -> dict[int, Index]:
    """Layers that have a common move together, by the first of them."""
    return {int(first): np.flatnonzero(common_of == first) for first in np.unique(common_of)}


def _scale(spread: Array, pooled: Array) -> None:
    """Make the scale of each filter of its own trailing spread, (filters, records), and its layer's, in place."""
    spread *= _TO_DEVIATION
    np.square(spread, out=spread)
    spread += pooled**2
    spread *= 0.5
    np.sqrt(spread, out=spread)


def _divide(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
