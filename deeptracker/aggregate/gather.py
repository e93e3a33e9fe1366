"""Results of windows put together along the axis that grows: loaded where they are small, lazy where they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np

from deeptracker.aggregate.windows import Progress, compute

MOST_BYTES = 512 << 20
"""Results up to this size are loaded by one ``dask.compute``; larger ones stay lazy and are written by blocks."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Output:
    """One array that a job gives: shape without the growing axis, and how many input rows make one of its rows."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    rows: int = 1

    def length(self, start: int, stop: int) -> int:
        """Rows that come of a window."""
        return -(-(stop - start) // self.rows)

    def nbytes(self, spans: list[tuple[int, int]]) -> int:
        """Size over all windows."""
        cells = int(np.prod(self.shape, dtype=np.int64))
        return sum(self.length(*span) for span in spans) * cells * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Job:
    """The same work on every window: one Dask task each, which gives a dict with the keys of ``outputs``."""

    outputs: Mapping[Key, Output]
    spans: list[tuple[int, int]]
    tasks: list[Any]


def gather(jobs: list[Job], *, what: str, progress: Progress | None, most_bytes: int | None = None) -> dict[Key, Any]:
    """All outputs of all jobs, (group, variable) → array.

    Returns NumPy arrays from one ``dask.compute`` if all together stay below ``most_bytes``, else Dask arrays with a
    chunk a window.
    """
    most_bytes = MOST_BYTES if most_bytes is None else most_bytes
    total = sum(output.nbytes(job.spans) for job in jobs for output in job.outputs.values())
    out: dict[Key, Any] = {}
    if total <= most_bytes:
        results = iter(compute([task for job in jobs for task in job.tasks], what=what, progress=progress))
        for job in jobs:
            mine = [next(results) for _ in job.tasks]
            for key, output in job.outputs.items():
                parts = [result[key] for result in mine]
                out[key] = np.concatenate(parts) if parts else np.empty((0, *output.shape), output.dtype)
        return out
    for job in jobs:
        for key, output in job.outputs.items():
            blocks = [
                da.from_delayed(task[key], (output.length(*span), *output.shape), output.dtype)
                for task, span in zip(job.tasks, job.spans, strict=True)
            ]
            out[key] = da.concatenate(blocks)
    return out


__all__ = ["Job", "Key", "Output", "gather"]
