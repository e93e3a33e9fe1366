"""The stage "index": everything that readers need at a coarser scale, in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deeptracker.aggregate.classes import CLUSTERS
from deeptracker.aggregate.training import index_training
from deeptracker.aggregate.validation import index_view
from deeptracker.aggregate.windows import Progress
from deeptracker.errors import MissingGroupError
from deeptracker.schema.derived import BIN_SIZES

if TYPE_CHECKING:
    from deeptracker.store import Run


def build_index(run: Run, *, progress: Progress | None = None) -> Run:
    """Write the hierarchical index of a run: pyramids, levels above the layer, classes, clusters, images.

    Parameters
    ----------
    run : what was recorded; parts that it lacks are left out.
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
    """
    provenance: dict[str, Any] = {"parameters": {"bins": list(BIN_SIZES), "clusters": CLUSTERS}}
    with run.write_stage("index", provenance) as writer:
        parts = [index_training(run, progress=progress)]
        parts += [index_view(run, view, progress=progress) for view in run.validation_sets]
        for datasets in parts:
            writer.put_many(datasets)
        if not any(parts) and not run.has("scalars"):
            raise MissingGroupError(f"{run.path} holds nothing yet: record some, then analyze")
    return run.refresh()
