"""Which level of the index a screen needs: a few rows a pixel, and no more cells than can be read at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptracker.schema.indexed import BIN_SIZES, REDUCTIONS
from deeptracker.screen.opened import axis_of, opened

RECORDS_PER_PIXEL = 4
CELLS = 6_000_000
"""Numbers that one read loads at most, where the index has a level coarse enough; 24 MB of float32."""

_BASES = {"filters/dense": "index/filters", "layers/dense": "index/layers"}


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a group.

    Parameters
    ----------
    group : what is read, the recorded group itself or a level of the index.
    axis : the axis that grows, as the recorded group calls it.
    size : records a bin; 1 = the records.
    start, stop : rows of ``group`` to read.
    rest : records of the recorded group that come after these bins and are binned when read: the index was made
        before they were recorded.
    """

    group: str
    axis: str
    size: int
    start: int
    stop: int
    rest: tuple[int, int]


def base_of(group: str) -> str:
    """The name in front of ``_8``, ``_64`` and ``_512`` under which the index keeps bins of a group."""
    if group in _BASES:
        return _BASES[group]
    return group if group.startswith("index/") else f"index/{group}"


def within(positions: NDArray[np.int64], first: float, last: float) -> tuple[int, int]:
    """Rows from the last one at or before ``first`` up to ``last``: what is in force at the left edge counts."""
    start = max(0, int(np.searchsorted(positions, first, side="right")) - 1)
    stop = max(start, int(np.searchsorted(positions, last, side="right")))
    return start, min(len(positions), stop)


def choose(
    run: Any,
    group: str,
    first: float,
    last: float,
    pixels: int,
    *,
    width: int = 1,
    reductions: int = len(REDUCTIONS),
    cells: int = CELLS,
    names: Sequence[str] = (),
) -> Level:
    """The finest level that gives at most four rows a pixel and at most ``cells`` numbers, else the coarsest.

    Records that were thinned count as not there where bins of them are.

    Parameters
    ----------
    run : an opened run.
    group : any group that grows; bins of it are looked for under ``base_of(group)``.
    first, last : iterations, both included.
    pixels : width of the screen.
    width : numbers of one row: what is selected of the other axes, for all variables together.
    reductions : how many of min, mean, max are read of a bin.
    names : what will be read: bins that do not have all of it are not taken.
    """
    dataset = opened(run, group)
    axis = axis_of(dataset)
    assert axis is not None, f"{group} does not grow"
    positions = np.asarray(dataset[axis].values, dtype=np.int64)
    start, stop = within(positions, first, last)
    best = Level(group, axis, 1, start, stop, (stop, stop))
    rows, each = stop - start, width
    gone = _thinned(run, group, start, stop)
    for size in BIN_SIZES if not outdated(run) else ():
        name = f"{base_of(group)}_{size}"
        if (rows <= RECORDS_PER_PIXEL * pixels and rows * each <= cells and not gone) or not run.has(name):
            break
        if not set(names) <= set(opened(run, name).data_vars):
            break
        bins = _bins(run, name, size, len(positions))
        begin, end = min(start // size, bins), min(-(-stop // size), bins)
        rest = max(start, bins * size)
        best = Level(name, axis, size, begin, end, (min(rest, stop), stop))
        rows, each, gone = (end - begin) + -(-(stop - min(rest, stop)) // size), width * reductions, False
    return best


def _bins(run: Any, name: str, size: int, records: int) -> int:
    """Bins that stand for what is recorded now: the last one may have been made when it was not full."""
    dataset = opened(run, name)
    bins: int = dataset.sizes[dataset["records"].dims[0]] if "records" in dataset else records // size
    if "records" not in dataset or not bins:
        return bins
    held = (bins - 1) * size + int(np.asarray(dataset["records"].variable[-1:].values)[0])
    return bins if held == records or (held % size == 0 and held < records) else min(bins - 1, records // size)


def outdated(run: Any) -> bool:
    """Whether rows were cut from the log, and maybe recorded anew, since the index was made."""
    commit, made = getattr(run, "commit", None), getattr(run, "stages", {}).get("index", {}).get("log")
    return commit is not None and made is not None and (made["run"], made["cuts"]) != (commit.run, commit.cuts)


def _thinned(run: Any, group: str, start: int, stop: int) -> bool:
    growth = getattr(getattr(run, "commit", None), "groups", {}).get(group)
    thinned: Any = getattr(growth, "thinned", None)
    return bool(thinned) and bool(thinned.covers(np.arange(start, stop)).any())


__all__ = ["CELLS", "RECORDS_PER_PIXEL", "Level", "base_of", "choose", "outdated", "within"]
