"""The stage "index": everything that readers need at a coarser scale, in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from deeptracker.aggregate.batch import Batch, Progress
from deeptracker.aggregate.classes import CLUSTERS
from deeptracker.aggregate.distributions import index_distributions
from deeptracker.aggregate.grown import earlier, provenance
from deeptracker.aggregate.training import index_training
from deeptracker.aggregate.validation import index_view
from deeptracker.errors import MissingGroupError
from deeptracker.schema.indexed import BIN_SIZES

if TYPE_CHECKING:
    from deeptracker.store import Run


def build_index(run: Run, *, anew: bool = False, progress: Progress | None = None) -> Run:
    """Write the hierarchical index of a run: pyramids, levels above the layer, classes, clusters, images.

    Parameters
    ----------
    run : what was recorded; parts that it lacks are left out.
    anew : read all of the log, also where the run has only grown since the index before.
    progress : called with what is being done and the share of it that is.

    Returns
    -------
    The run, with ``index/…`` groups (of scalars alone: none). An earlier index stays in place until the new one is
    complete.

    Raises
    ------
    MissingGroupError : the run holds nothing: no statistics, no answers, no scalars.

    Notes
    -----
    Dask does the work on whatever scheduler is set. Same numbers for any scheduler and number of workers; for
    another layout of shards, counts and extremes are identical and sums agree to 1e-6.

    A run that has grown is read from the last complete bin on, and from the first new pass; files of the index that
    hold nothing else than what stays are shared with the one before. The result is that of an index made at once, bit
    for bit (mean and deviation of an image's confidence: to 1e-12).
    """
    before = None if anew else earlier(run)
    made: dict[str, Any] = {"parameters": {"bins": list(BIN_SIZES), "clusters": CLUSTERS}, **provenance(run)}
    if before is not None:
        made["continued"] = {"version": run.stages["index"]["version"], "rows": before.rows}
    with run.write_stage("index", made, continued=before is not None) as writer:
        batch = Batch()

        def write(tables: dict[str, xr.Dataset]) -> bool:
            writer.put_many(tables, after={} if before is None else {group: before.after(group) for group in tables})
            return bool(tables)

        # What this process does with the answers, it does while filters and layers are worked on.
        parts = [index_view(batch, run, view, before) for view in run.validation_sets]
        written = [part.then(write) for part in (*parts, index_distributions(batch, run, before))]
        written.append(index_training(batch, run, writer, before).then(bool))
        batch.compute("index", progress)
        if not any(part.value for part in written) and not run.has("scalars"):
            raise MissingGroupError(f"{run.path} holds nothing yet: record some, then analyze")
    return run.refresh()
