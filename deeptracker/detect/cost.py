"""What the stage "anomalies" will cost, told from metadata alone."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from deeptracker.aggregate import Cost, Source, row_bytes, table_bytes, windows
from deeptracker.conform import declaration
from deeptracker.detect.answers import LONGEST, cut_passes, reads_from
from deeptracker.detect.blocks import blocks, rows, spans
from deeptracker.detect.original import TOP
from deeptracker.detect.scoring import DENSE, PROBE
from deeptracker.detect.signals import FILTER_SIGNALS
from deeptracker.detect.states import OF_PROBES, OF_RECORDS
from deeptracker.schema.derived import DIRECTIONS, MODEL_SIGNALS, RULES, SIGNALS, STATES
from deeptracker.store.layout import shard_rows

if TYPE_CHECKING:
    from deeptracker.store import Run

_SCORE_COPIES = 5  # float64 arrays of a block's window that a score takes at once, a partly sorted one included


def anomalies_cost(run: Run) -> Cost:
    """Of the stage as it would be made now."""
    total = Cost()
    if run.has(DENSE) and run.has("scalars") and run.has("architecture"):
        total += _parameters_cost(run)
    for view in run.validation_sets:
        images = f"images/{view.split('/')[0]}"
        if run.has(images) and bool((run.dataset(images)["target"].values >= 0).all()):
            total += _answers_cost(run, view, run.dataset(images).sizes["class"])
    return total


def _parameters_cost(run: Run) -> Cost:
    architecture = run.dataset("architecture").load()
    dense, pieces = Source(run, DENSE), blocks(architecture)
    records, filters = dense.dataset.sizes["iteration"], dense.dataset.sizes["filter"]
    row = 4 * filters
    # Files of the scratch arrays: those of the widest of the arrays that the strongest signals go to.
    file_rows = max(shard_rows(row), shard_rows(filters))
    there = list(spans(records, file_rows))
    widest = max(block.filters.stop - block.filters.start for block in pieces)
    longest = max(stop - read for read, _, stop in there)
    scores = len(FILTER_SIGNALS) * records * row
    states = Cost(len(pieces), len(OF_RECORDS) * records * row, 0, _state_bytes(run, widest))
    if run.has(PROBE):
        states += Cost(0, len(OF_PROBES) * run.dataset(PROBE).sizes["iteration"] * row)
    read = sum(stop - first for first, _, stop in there) * row
    scored = Cost(
        len(pieces) * len(FILTER_SIGNALS) * len(there),
        len(FILTER_SIGNALS) * read,
        scores,
        _SCORE_COPIES * 8 * widest * longest,
    )
    kept = sum(np.dtype(one.dtype).itemsize for one in declaration("anomalies/filters").variables)
    ranges = range(0, records, file_rows)
    at_once = min(file_rows, records) * (2 * kept * filters + 3 * 4 * len(FILTER_SIGNALS) * widest)
    strongest = Cost(len(ranges), scores, kept * records * filters, at_once)
    cosine = windows(dense, "iteration", most_bytes=16 << 20)
    lowest = Cost(len(cosine), records * row, 0, 3 * row * max(stop - start for start, stop in cosine))
    sizes = {
        "iteration": records, "layer": architecture.sizes["layer"], "signal": len(SIGNALS), "filter": filters,
        "model_signal": len(MODEL_SIGNALS), "rank": TOP, "state": len(STATES),
    }  # fmt: skip
    tables = ("layers", "iterations", "lowest_cosine", "states")
    written = sum(table_bytes(f"anomalies/{name}", sizes) for name in tables)
    return states + scored + strongest + lowest + Cost(0, 0, written)


def _state_bytes(run: Run, widest: int) -> int:
    longest = max(stop - start for start, stop in rows(run, DENSE))
    return longest * widest * (4 * len(OF_RECORDS) + 12)  # the flags of the states, and what they are made of


def _answers_cost(run: Run, view: str, classes: int) -> Cost:
    source = Source(run, f"validation/{view}")
    passes, images = source.dataset.sizes["validation"], source.dataset.sizes["image"]
    row = row_bytes(source, "correct")
    file_rows, edges = cut_passes(passes, images, classes)
    reads, count = reads_from(edges), len(edges) - 1
    pieces = sum(stop > first for first, stop in itertools.pairwise(reads))
    # Each window, its runs before and after, and those joined to what came before or after.
    tasks = count + pieces + 3 * (count - 1)
    again = (reads[-1] if reads else 0) + passes - edges[1]
    longest = max(stop - read for read, stop in zip(reads, edges[1:], strict=True))
    sizes = {"validation": passes, "class": classes, "k": min(LONGEST, passes), "direction": len(DIRECTIONS),
             "rule": len(RULES)}  # fmt: skip
    slab = file_rows * classes * min(LONGEST, passes) * 2 * 4
    return Cost(
        tasks,
        row * (sum(stop - read for read, stop in zip(reads, edges[1:], strict=True)) + again),
        table_bytes(f"anomalies/validation/{view}/classes", sizes),
        longest * images * 5 + 2 * slab + (4 * 6 + 12) * 8 * longest * classes,
    )


__all__ = ["anomalies_cost"]
