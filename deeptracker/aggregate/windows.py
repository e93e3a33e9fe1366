"""Windows of whole shards along the axis that grows, and reading them where the work is done.

A task is told what to read, not given it: the graph stays at one task a window, nothing moves between workers, and
each shard is read once. Windows begin at multiples of the largest bin, so that no bin crosses a border and a run
that has grown changes its last window only.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr


class Readable(Protocol):
    """What the analysis needs of a run: ``deeptracker.store.Run``, or a ``MemorySink``."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Paths that can be read."""

    @property
    def generation(self) -> int:
        """Number of the commit that is read."""

    def has(self, group: str) -> bool:
        """Whether a group is there."""

    def dataset(self, group: str) -> xr.Dataset:
        """A group, read only when values are taken; ``encoding["shard_rows"]`` says how it is cut."""


class Source:
    """One group of one run, opened where it is used: pickled as its address.

    No dataclass, nor is anything else that goes to every task: Dask would look for tasks in all of its fields.
    """

    def __init__(self, run: Any, group: str) -> None:
        self.run, self.group = run, group
        self._dataset: xr.Dataset | None = None

    @property
    def dataset(self) -> xr.Dataset:
        """The group, lazily indexed; opened once by each process, since that takes as long as reading a window."""
        if self._dataset is None:
            self._dataset = _opened(self.run, self.group)
        return self._dataset

    def read(self, name: str, start: int, stop: int, chosen: slice | None = None) -> npt.NDArray[Any]:
        """Rows ``start`` to ``stop`` of a variable, ``chosen`` places of its second axis."""
        place = slice(start, stop) if chosen is None else (slice(start, stop), chosen)
        return np.asarray(self.dataset[name].variable[place].values)

    def __reduce__(self) -> tuple[Callable[..., Source], tuple[Any, str]]:
        return Source, (self.run, self.group)


_OPEN: OrderedDict[tuple[object, ...], xr.Dataset] = OrderedDict()
_OPEN_AT_MOST = 16
_OPENING = threading.Lock()


def _opened(run: Any, group: str) -> xr.Dataset:
    commit = getattr(run, "commit", None)
    if commit is None:  # a run in memory
        dataset: xr.Dataset = run.dataset(group)
        return dataset
    version = run.stages.get(group.split("/")[0], {}).get("version")
    cut_to = getattr(run, "cut", None)  # of the newest rows of a run
    key = (str(run.path), commit.run, commit.cuts, commit.generation, version, cut_to, group)
    with _OPENING:
        found = _OPEN.get(key)
        if found is None:
            found = _OPEN[key] = run.dataset(group)
        _OPEN.move_to_end(key)
        while len(_OPEN) > _OPEN_AT_MOST:
            _OPEN.popitem(last=False)
    return found


def windows(
    source: Source, axis: str, *, first: int = 0, multiple: int = 1, most_bytes: int = 64 << 20
) -> list[tuple[int, int]]:
    """Cut the growing axis into ranges of rows.

    Parameters
    ----------
    axis : name of the growing dimension.
    first : row to begin at.
    multiple : windows end at multiples of this many rows, but for the last.
    most_bytes : shards are joined up to this size of a variable's window; one multiple is the least.

    Returns
    -------
    list of (start, stop), consecutive; empty where nothing lies past ``first``.
    """
    table = source.dataset
    rows = table.sizes[axis]
    grown = [variable for variable in table.variables.values() if variable.dims[:1] == (axis,) and variable.ndim > 1]
    shard = table.encoding.get("shard_rows", rows) if grown else max(rows, 1)
    row_bytes = max((variable.nbytes // max(rows, 1) for variable in grown), default=8)
    return cut(rows, row_bytes, shard, first=first, multiple=multiple, most_bytes=most_bytes)


def cut(
    rows: int, row_bytes: int, shard: int, *, first: int = 0, multiple: int = 1, most_bytes: int = 64 << 20
) -> list[tuple[int, int]]:
    """What ``windows`` gives for so many rows, their bytes in the largest variable, and rows to a shard."""
    size = -(-shard // multiple) * multiple
    # At least four windows, where shards allow, keep the workers busy; more than that saves nothing.
    wanted = min(most_bytes // max(row_bytes, 1), max((rows - first) // 4, 1))
    size *= max(1, wanted // size)
    borders = [first, *range((first // size + 1) * size, rows, size), rows]
    return list(itertools.pairwise(borders)) if first < rows else []


__all__ = ["Readable", "Source", "cut", "windows"]
