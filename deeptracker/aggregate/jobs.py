"""The same work on every window of a recorded group: tasks write what they make, only small results come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from deeptracker.aggregate.batch import Batch, Later
from deeptracker.schema.indexed import BIN_SIZES
from deeptracker.store.zarrays import Filling

FILE_BYTES = 4 << 20
"""What files are made of: at most so many bytes of a recorded variable, or one largest bin of it."""
_MOST_BINS = 64

T = TypeVar("T")

Key = tuple[str, str]
Arrays = dict[Key, npt.NDArray[Any]]


class Writer(Protocol):
    """What takes the groups of a stage: ``deeptracker.store.stage.StageWriter``, or one in memory."""

    def begin(self, group: str, dataset: xr.Dataset, *, rows: int, after: int = 0) -> Mapping[str, Any]:
        """Make the arrays of a group whose variables are Dask arrays; tasks fill them."""

    def put_many(self, datasets: Mapping[str, xr.Dataset], *, after: Mapping[str, int] | None = None) -> None:
        """Write groups whose values are there."""


@dataclass(frozen=True, slots=True)
class Output:
    """One array that a job makes: shape without the growing axis, and how many records make one of its rows."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    rows: int = 1

    def length(self, start: int, stop: int) -> int:
        """Rows that come of a window."""
        return -(-(stop - start) // self.rows)

    def nbytes(self, start: int, stop: int) -> int:
        """Size of what comes of a window."""
        cells = int(np.prod(self.shape, dtype=np.int64))
        return self.length(start, stop) * cells * np.dtype(self.dtype).itemsize

    @property
    def is_written(self) -> bool:
        """Whether tasks write it; one number a record is handed to the client, which writes it in larger files."""
        return bool(self.shape)


@dataclass(frozen=True, slots=True)
class Job:
    """The same work on every window: one Dask task each.

    Parameters
    ----------
    outputs : (group, variable) → what is made.
    spans : the windows; all borders but the first and the last lie where files end.
    work : (start, stop) of a window → an array for each output.
    records : how many make a file of the outputs.
    step : how many are held at once, at most.
    """

    outputs: Mapping[Key, Output]
    spans: list[tuple[int, int]]
    work: Callable[[int, int], Arrays]
    records: int
    step: int


def file_records(row_bytes: int) -> int:
    """Records whose results make a file: the same while a run grows, so that files of an earlier index can stay.

    Parameters
    ----------
    row_bytes : bytes of a record in the largest variable that is read.
    """
    bins = max(1, FILE_BYTES // max(1, BIN_SIZES[-1] * row_bytes))
    return BIN_SIZES[-1] * min(_MOST_BINS, 1 << (bins.bit_length() - 1))


def perform(batch: Batch, jobs: Sequence[Job], regions: Mapping[Key, Any], then: Callable[[Arrays], T]) -> Later[T]:
    """Do all jobs.

    Parameters
    ----------
    regions : where the outputs go that tasks write.
    then : takes the other outputs, each put together along the axis that grows.
    """
    tasks: list[Any] = []
    for job in jobs:
        into = {key: (output.rows, regions[key]) for key, output in job.outputs.items() if output.is_written}
        # Shared by all windows, and nothing for Dask to look into.
        work = delayed(partial(_perform, job.work, into), pure=False, traverse=False)
        tasks += [delayed(_call, pure=False)(work, *span) for span in job.spans]

    def joined(made: list[Arrays]) -> T:
        back: Arrays = {}
        results = iter(made)
        for job in jobs:
            mine = [next(results) for _ in job.spans]
            for key, output in job.outputs.items():
                if not output.is_written:
                    back[key] = np.concatenate([arrays[key] for arrays in mine])
        return then(back)

    return batch.add(tasks, joined)


def _call(work: Callable[[int, int], Arrays], start: int, stop: int) -> Arrays:
    return work(start, stop)


def _perform(
    work: Callable[[int, int], Arrays], into: Mapping[Key, tuple[int, Any]], start: int, stop: int
) -> Arrays:
    made, filling = work(start, stop), Filling()
    for key, (rows, region) in into.items():
        region.add(filling, start // rows, made.pop(key))
    filling.finish()
    return made


__all__ = ["FILE_BYTES", "Arrays", "Job", "Key", "Output", "Writer", "file_records", "perform"]
