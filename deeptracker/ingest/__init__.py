"""What others recorded: series of checkpoints, TensorBoard event files, tables. Never runs what a file contains."""

from deeptracker.ingest.gather import Gathering
from deeptracker.ingest.outcome import Outcome
from deeptracker.ingest.sources import Sources, find_sources

__all__ = ["Gathering", "Outcome", "Sources", "find_sources"]
