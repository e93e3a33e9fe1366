"""What work will cost, told from metadata alone: tasks, bytes read and written, the memory of the largest task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeptracker.aggregate.distributions import HISTOGRAM_BYTES, HISTOGRAMS
from deeptracker.aggregate.grown import Earlier, earlier
from deeptracker.aggregate.jobs import Job
from deeptracker.aggregate.pyramid import pass_bin_sizes
from deeptracker.aggregate.training import hierarchy, training_jobs
from deeptracker.aggregate.validation import view_windows
from deeptracker.aggregate.windows import Readable, Source, windows
from deeptracker.conform import declaration
from deeptracker.schema.indexed import REDUCTIONS


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a stage, or of a part of it.

    Parameters
    ----------
    tasks : Dask tasks. read, written : bytes, uncompressed, what tasks hand on through scratch arrays included.
    task_bytes : arrays of the largest task; a worker holds as many of these as it has threads.
    """

    tasks: int = 0
    read: int = 0
    written: int = 0
    task_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.tasks + other.tasks,
            self.read + other.read,
            self.written + other.written,
            max(self.task_bytes, other.task_bytes),
        )


def row_bytes(source: Source, name: str) -> int:
    """Bytes of one row of a recorded variable."""
    variable = source.dataset[name].variable
    return variable.dtype.itemsize * int(np.prod(variable.shape[1:], dtype=np.int64))


def table_bytes(group: str, sizes: Mapping[str, int]) -> int:
    """Bytes of the numbers of a derived group with axes of these sizes."""
    total = 0
    for variable in declaration(group).variables:
        if variable.dtype != "str" and set(variable.dims) <= set(sizes):
            cells = int(np.prod([sizes[dim] for dim in variable.dims], dtype=np.int64))
            total += cells * np.dtype(variable.dtype).itemsize
    return total


# Arrays of a window that a task holds at once, in bytes of the window as it is read: the bins' mask, the float64 of
# sums, and the rows of quantiles sorted.
_FILTER_COPIES, _LAYER_COPIES, _ANSWER_COPIES = 4.0, 8.0, 12.0


def index_cost(run: Readable, *, anew: bool = False) -> Cost:
    """Of the stage "index" as it would be made now."""
    before = None if anew else earlier(run)
    total = Cost()
    for group, jobs in training_jobs(run, before).items():
        total += _jobs_cost(Source(run, group), jobs, _LAYER_COPIES if group == "layers/dense" else _FILTER_COPIES)
    total += _distributions_cost(run, before)
    for view in getattr(run, "validation_sets", ()):
        source, spans = Source(run, f"validation/{view}"), view_windows(run, view, before)
        if spans:
            one, both = (row_bytes(source, name) for name in ("correct", "loss"))
            passes, images = spans[-1][1] - spans[0][0], source.dataset.sizes["image"]
            again = spans[-1][0] - spans[0][0]  # the last answers before each window but the first
            rows = max(stop - start for start, stop in spans)
            total += Cost(
                5 * len(spans) - 2,
                passes * (one + both) + again * one,
                _view_bytes(run, view, passes, images),
                int(_ANSWER_COPIES * rows * (one + both)),
            )
    return total


def _distributions_cost(run: Readable, before: Earlier | None) -> Cost:
    if not run.has("layers/full") or not run.has("architecture"):
        return Cost()
    source = Source(run, "layers/full")
    names = [name for name in HISTOGRAMS if name in source.dataset]
    first = before.rows.get("layers/full", 0) if before is not None else 0
    records = source.dataset.sizes["iteration"] - first
    spans = windows(source, "iteration", first=first, most_bytes=HISTOGRAM_BYTES)
    if not names or not spans:
        return Cost()
    row = sum(row_bytes(source, name) for name in names)
    layers = source.dataset.sizes["layer"]
    extremes = 2 * len(names) * 4 * layers if run.has("layers/dense") else 0
    groups = sum(len(level.members) for level in hierarchy(run.dataset("architecture").load()))
    written = records * groups * len(names) * (8 * source.dataset.sizes["bin"] + 3 * 4)
    most = max(stop - start for start, stop in spans)
    return Cost(len(spans), records * (row + extremes), written, 8 * most * row)


def _jobs_cost(source: Source, jobs: list[Job], copies: float) -> Cost:
    total = Cost()
    for job in jobs:
        row = sum(row_bytes(source, name) for name in {name for _, name in job.outputs})
        written = [sum(output.nbytes(*span) for output in job.outputs.values()) for span in job.spans]
        rows = job.spans[-1][1] - job.spans[0][0]
        total += Cost(len(job.spans), rows * row, sum(written), int(copies * job.step * row) + max(written))
    return total


def _view_bytes(run: Readable, view: str, passes: int, images: int) -> int:
    table = run.dataset(f"images/{view.split('/')[0]}") if run.has(f"images/{view.split('/')[0]}") else None
    classes = int(table.sizes.get("class", 0)) if table is not None else 0
    sizes: dict[str, Any] = {"validation": passes, "event": 4, "image": images}
    path = f"index/validation/{view}"
    total = sum(table_bytes(f"{path}/{name}", sizes) for name in ("all", "images", "carry"))
    if classes:
        total += table_bytes(f"{path}/classes", {**sizes, "class": classes})
        for size in pass_bin_sizes(run.dataset(f"validation/{view}").sizes["validation"]):
            bins = {"validation_bin": -(-passes // size), "reduction": len(REDUCTIONS), "class": classes}
            total += table_bytes(f"{path}/classes_{size}", bins)
        total += table_bytes(f"{path}/clusters", {**sizes, "cluster": min(classes, 4)})
    return total


__all__ = ["Cost", "index_cost", "row_bytes", "table_bytes"]
