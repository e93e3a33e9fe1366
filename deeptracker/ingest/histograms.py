"""From a tracker's histogram of a layer to the statistics of the data model."""

from __future__ import annotations

from typing import Any

import numpy as np

from deeptracker.ingest.eventfile import Histogram
from deeptracker.statistics import HISTOGRAM_EDGES, histogram_quartiles

Array = np.ndarray[Any, Any]


def rebin(edges: Array, counts: Array) -> Array:
    """Counts in the bins of ``HISTOGRAM_EDGES``, int32; the total is kept.

    A bucket inside one bin goes there whole; one that spans several is shared out evenly over its width, which
    approximates. A bucket without width lies at its border.
    """
    out = np.zeros(len(HISTOGRAM_EDGES))
    inner = HISTOGRAM_EDGES[1:]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if not count > 0:
            continue
        first = int(np.searchsorted(HISTOGRAM_EDGES, low, side="right")) - 1
        last = max(first, int(np.searchsorted(HISTOGRAM_EDGES, high, side="left")) - 1)
        if first == last:
            out[first] += count
            continue
        borders = np.concatenate([[low], inner[first:last], [high]])
        out[first : last + 1] += count * np.diff(borders) / (high - low)
    total = round(float(out.sum()))
    whole = np.floor(out).astype(np.int64)
    rest = np.argsort(-(out - whole), kind="stable")[: total - int(whole.sum())]
    whole[rest] += 1
    return np.minimum(whole, np.iinfo(np.int32).max).astype(np.int32)


def moments(histogram: Histogram, letter: str) -> dict[str, float]:
    """``<letter>_min … _rms`` of a layer; ``norm1`` and ``zero_fraction`` are NaN: no histogram tells them.

    Exact where the file gives sum and sum of squares; else taken from the middles of the buckets, wrong by less than
    half a bucket's width.
    """
    count, total, square = histogram.count, histogram.total, histogram.square
    if np.isnan(total):
        middles = (histogram.edges[:-1] + histogram.edges[1:]) / 2
        total, square = float(histogram.counts @ middles), float(histogram.counts @ middles**2)
    nan = float("nan")
    if not count > 0:
        return {f"{letter}_{name}": nan for name in ("min", "max", "mean", "std", "norm2", "rms")}
    mean = total / count
    return {
        f"{letter}_min": histogram.low,
        f"{letter}_max": histogram.high,
        f"{letter}_mean": mean,
        f"{letter}_std": float(np.sqrt(max(square / count - mean * mean, 0.0))),
        f"{letter}_norm2": float(np.sqrt(square)),
        f"{letter}_rms": float(np.sqrt(square / count)),
    }


def distribution(histogram: Histogram, letter: str) -> dict[str, Any]:
    """``<letter>_hist`` and the quartiles read off it."""
    counts = rebin(histogram.edges, histogram.counts)
    quartiles = histogram_quartiles(counts, histogram.low, histogram.high)
    names = (f"{letter}_q1", f"{letter}_median", f"{letter}_q3")
    return {f"{letter}_hist": counts, **dict(zip(names, quartiles, strict=True))}


__all__ = ["distribution", "moments", "rebin"]
