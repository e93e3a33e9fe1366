"""What an earlier index knew of rows that were thinned since: carried over, since it cannot be made again.

Only rows in complete bins of every size are ever thinned, so a bin that holds one was complete in the index of then.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from deeptracker.aggregate.pyramid import bin_sizes
from deeptracker.aggregate.windows import Readable, Source
from deeptracker.schema.indexed import BIN_SIZES

_log = logging.getLogger("deeptracker")


class Carried:
    """The index before this one, for the rows of a recorded group that are gone.

    No dataclass: Dask would look for tasks in all of its fields.

    Parameters
    ----------
    run : the run; its current stage "index" is the one to carry over from.
    thinned : a ``deeptracker.store.spans.Thinned``.
    """

    def __init__(self, run: Any, thinned: Any) -> None:
        self.run, self.thinned = run, thinned

    def rows(self, start: int, stop: int, size: int) -> npt.NDArray[np.bool_]:
        """Which bins of ``size`` rows of the window [start, stop) are carried over; (bins,).

        A bin that reaches past the row where the log was cut back and went on is made of what is there now.
        """
        gone = self.thinned.covers(np.arange(start, stop))
        firsts = np.arange(0, stop - start, size)
        touched: npt.NDArray[np.bool_] = np.logical_or.reduceat(gone, firsts)
        if self.thinned.renewed is not None:
            touched &= np.minimum(start + firsts + size, stop) <= self.thinned.renewed
        return touched

    def put_into(self, out: Mapping[tuple[str, str], npt.NDArray[Any]], start: int, stop: int) -> None:
        """Overwrite the bins and rows of a window that are carried over.

        Parameters
        ----------
        out : (group, variable) → (bins, …), as one window gives them; changed in place.
        start, stop : rows of the window.
        """
        for (group, name), values in out.items():
            size = group.rpartition("_")[2]
            rows = int(size) if size.isdigit() else 1
            chosen = self.rows(start, stop, rows)
            if chosen.any():
                first, last = start // rows, start // rows + int(np.flatnonzero(chosen)[-1]) + 1
                earlier = Source(self.run, group).read(name, first, last)
                values[chosen] = earlier[chosen[: last - first]]


def carried(run: Readable, group: str) -> Carried | None:
    """What has to be carried over for a recorded group; None where nothing was thinned.

    A run in memory is never thinned, and has no commit that could say so.
    """
    commit: Any = getattr(run, "commit", None)
    thinned = commit.groups[group].thinned if commit is not None and group in commit.groups else None
    if not thinned:
        return None
    if not run.has(f"index/{group.split('/')[0]}_{BIN_SIZES[-1]}"):
        _log.warning(
            "%s: the index is gone, and with it the extremes of %d thinned rows",
            getattr(run, "path", ""),
            thinned.rows,
        )
        return None
    return Carried(run, thinned)


def sizes_of(run: Readable, group: str, records: int) -> tuple[int, ...]:
    """Sizes of bins that the index of a recorded group has at so many records.

    Where records may be thinned, bins of every size are made from the first one on: they could not be later.
    """
    budget = group == "filters/dense" and getattr(run, "attributes", {}).get("disk_budget")
    return BIN_SIZES if budget or carried(run, group) is not None else bin_sizes(records)


__all__ = ["Carried", "carried", "sizes_of"]
