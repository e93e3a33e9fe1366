"""The hierarchical index: reductions as data, merge laws, a pyramid over iterations, levels of layers and classes."""

from deeptracker.aggregate.index import build_index
from deeptracker.aggregate.runs import Runs
from deeptracker.aggregate.training import index_training
from deeptracker.aggregate.validation import index_view, targets
from deeptracker.aggregate.windows import Progress, Readable, Source, compute, windows

__all__ = [
    "Progress",
    "Readable",
    "Runs",
    "Source",
    "build_index",
    "compute",
    "index_training",
    "index_view",
    "targets",
    "windows",
]
