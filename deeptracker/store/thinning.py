"""Deleting whole shards of a run: first the marker says so, then the files go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from deeptracker.errors import RunError
from deeptracker.store.analysing import analysing
from deeptracker.store.disk import Disk, remove_thinned
from deeptracker.store.layout import LOCK
from deeptracker.store.spans import Span
from deeptracker.store.stage import load_stages, save_stages

if TYPE_CHECKING:
    from deeptracker.store.run import Run


def delete_shards(run: Run, spans: Mapping[str, Iterable[Span]]) -> Run:
    """Delete whole shards of a run for good.

    Parameters
    ----------
    run : as it was judged; rows may have been added since.
    spans : group → rows to delete, whole shards that are all there.

    Returns
    -------
    The run without them. Derived stages that were up to date stay so: nothing was recorded since.

    Raises
    ------
    LockedRunError
        The run is being recorded or analysed.
    RunError
        Its log was cut back since it was opened.

    Notes
    -----
    A kill at any moment leaves either all of the rows, or a marker that says that they are gone; files that are left
    then are deleted by the next writer, the next thinning or ``verify --repair``.
    """
    recording = (run.path / LOCK).lock(run.path)
    try:
        with analysing(run.path):
            disk = Disk(run.path, resume=True)
            if (disk.commit.run, disk.commit.cuts) != (run.commit.run, run.commit.cuts):
                raise RunError(f"{run.path} was cut back since it was opened: analyze it again")
            before = disk.commit.generation
            disk.thin(spans)
            stages = load_stages(run.path)
            for stage in stages.values():
                if stage["generation"] == before:
                    stage["generation"] = disk.commit.generation
            save_stages(run.path, stages)
            remove_thinned(run.path, disk.commit)
    finally:
        recording.release()
    return run.refresh()


__all__ = ["delete_shards"]
