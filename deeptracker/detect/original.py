"""The rule of the original DeepTracker: the filters whose direction changed most, whatever the iteration."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TOP = 10


def lowest_cosine(
    cosine: npt.NDArray[np.float32], layer: npt.NDArray[np.int64], *, top: int = TOP
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The ``top`` filters of the net with the lowest ``update_cosine``, first and last layer left out.

    Parameters
    ----------
    cosine : (records, filters) ``update_cosine``.
    layer : (filters,) number of each filter's layer.

    Returns
    -------
    filter positions (records, top) int32 and their cosines, lowest first; −1 and NaN where there are fewer. It always
    reports ten, and follows the learning rate (Liu et al. 2018, doi:10.1145/3200489).
    """
    inner = np.flatnonzero((layer > layer.min()) & (layer < layer.max()))
    if not len(inner):
        inner = np.arange(len(layer))
    values = np.where(np.isnan(cosine[:, inner]), np.inf, cosine[:, inner])
    take = min(top, len(inner))
    order = _lowest(values, take)
    place = np.full((len(cosine), top), -1, np.int32)
    lowest = np.full((len(cosine), top), np.nan, np.float32)
    chosen = np.take_along_axis(values, order, 1)
    place[:, :take] = np.where(np.isfinite(chosen), inner[order], -1)
    lowest[:, :take] = np.where(np.isfinite(chosen), chosen, np.nan)
    return place, lowest


def _lowest(values: npt.NDArray[np.float32], take: int) -> npt.NDArray[np.int64]:
    """Places of the ``take`` lowest values of each row, lowest first, the first of equal ones."""
    highest = np.partition(values, take - 1, axis=1)[:, take - 1]
    out = np.empty((len(values), take), np.int64)
    for row, (line, limit) in enumerate(zip(values, highest, strict=True)):
        there = np.flatnonzero(line <= limit)
        out[row] = there[np.argsort(line[there], kind="stable")[:take]]
    return out
