"""The run store: one Zarr hierarchy with a commit marker and a tail, one writer, any number of readers."""

from deeptracker.store.catalogue import list_runs
from deeptracker.store.place import place_of
from deeptracker.store.run import Run, open_run
from deeptracker.store.verify import Finding, verify
from deeptracker.store.writer import LogWriter

__all__ = ["Finding", "LogWriter", "Run", "list_runs", "open_run", "place_of", "verify"]
