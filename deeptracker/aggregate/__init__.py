"""The hierarchical index: reductions as data, merge laws, a pyramid over iterations, levels of layers and classes."""

from deeptracker.aggregate.batch import Batch, Later, Progress, alone, compute
from deeptracker.aggregate.cost import Cost, index_cost, row_bytes, table_bytes
from deeptracker.aggregate.index import build_index
from deeptracker.aggregate.runs import Runs
from deeptracker.aggregate.training import index_training
from deeptracker.aggregate.validation import index_view, targets
from deeptracker.aggregate.windows import Readable, Source, cut, windows

__all__ = [
    "Batch",
    "Cost",
    "Later",
    "Progress",
    "Readable",
    "Runs",
    "Source",
    "alone",
    "build_index",
    "compute",
    "cut",
    "index_cost",
    "index_training",
    "index_view",
    "row_bytes",
    "table_bytes",
    "targets",
    "windows",
]
