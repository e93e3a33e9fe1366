"""Minimum, mean and maximum over bins of consecutive records. Array tier: the first axis is the records'."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deeptracker.aggregate.reductions import chunk, coarsen, finalize
from deeptracker.schema.indexed import BIN_SIZES, REDUCTIONS

LEAST_BINS = 32

Bins = dict[int, npt.NDArray[np.float32]]


def bin_sizes(records: int) -> tuple[int, ...]:
    """Sizes of bins that a run of so many records has.

    No screen is so narrow that it would read a level of less than 32 bins; each level costs an array a statistic.
    """
    return tuple(size for size in BIN_SIZES if size == BIN_SIZES[0] or size * LEAST_BINS <= records)


def pass_bin_sizes(passes: int) -> tuple[int, ...]:
    """Sizes of bins that so many passes have: none where a screen reads every pass anyway."""
    return tuple(size for size in BIN_SIZES if size * LEAST_BINS <= passes)


def pyramid(values: npt.NDArray[np.generic], sizes: tuple[int, ...] = BIN_SIZES) -> Bins:
    """Bins of 8, 64 and 512 records of a window that begins at a multiple of 512.

    Parameters
    ----------
    values : (records, …) numbers; NaN is skipped, and gives NaN where a bin holds nothing else.
    sizes : sizes of bins, each a multiple of the one before.

    Returns
    -------
    bin size → (bins, 3, …) float32: min, mean, max. The last bin may be partial. Coarse bins are merged from the
    parts of fine ones, so each value is read once.
    """
    floats: npt.NDArray[Any] = values if values.dtype.kind == "f" else values.astype(np.float32)
    parts = chunk(floats, sizes[0], REDUCTIONS)
    out: Bins = {}
    for number, size in enumerate(sizes):
        if number:
            parts = coarsen(parts, size // sizes[number - 1])
        with np.errstate(over="ignore"):
            out[size] = np.stack([finalize(parts, name).astype(np.float32) for name in REDUCTIONS], axis=1)
    return out


def edges(positions: npt.NDArray[np.int64], size: int) -> dict[str, npt.NDArray[np.int64]]:
    """First and last position of each bin, and the number of records in it."""
    starts = np.arange(0, len(positions), size)
    stops = np.minimum(starts + size, len(positions))
    return {"first": positions[starts], "last": positions[stops - 1], "records": stops - starts}


__all__ = ["bin_sizes", "edges", "pass_bin_sizes", "pyramid"]
