"""What the stage "correlation" will cost, told from metadata alone, before there are any anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deeptracker.aggregate import Cost, cut, table_bytes
from deeptracker.correlate.links import DRAWS
from deeptracker.correlate.stage import CLASS_BYTES, DRAWS_A_TASK, FILTER_BYTES
from deeptracker.detect import LONGEST, cut_passes
from deeptracker.store.layout import shard_rows

if TYPE_CHECKING:
    from deeptracker.store import Run

_COPIES = 4  # arrays of a window that a task holds at once


def correlation_cost(run: Run) -> Cost:
    """Of the stage as it would be made after the anomalies; mini-sets, of which nothing is known, left out."""
    total = Cost()
    for view in run.validation_sets:
        images = f"images/{view.split('/')[0]}"
        if run.has(images) and (run.dataset(images)["target"].values >= 0).all():
            total += _cube_cost(run, view, run.dataset(images).sizes["class"])
    return total


def _cube_cost(run: Run, view: str, classes: int) -> Cost:
    table = run.dataset(f"validation/{view}")
    passes, images = table.sizes["validation"], table.sizes["image"]
    row = 2 * 4 * classes * min(LONGEST, passes)
    file_rows, _ = cut_passes(passes, images, classes)
    spans = cut(passes, row, file_rows, most_bytes=CLASS_BYTES)
    path, sizes = f"correlation/validation/{view}", {"validation": passes, "class": classes}
    total = Cost(len(spans), 2 * passes * row, table_bytes(f"{path}/passes", sizes), _held(spans, row))
    if run.has("filters/dense") and run.has("scalars") and run.has("architecture"):
        records, row = (
            run.dataset("filters/dense").sizes["iteration"],
            4 * run.dataset("filters/dense").sizes["filter"],
        )
        spans = cut(records, row, shard_rows(row), most_bytes=FILTER_BYTES)
        layers = sizes["layer"] = run.dataset("architecture").sizes["layer"]
        written = sum(table_bytes(f"{path}/{name}", sizes) for name in ("front", "side"))
        total += Cost(len(spans), 2 * records * row, written, _held(spans, row))
        drawn = 4 * passes * (2 * layers + 2 * classes) + 4 * 8 * layers * classes
        total += Cost(-(-DRAWS // DRAWS_A_TASK), 0, 0, drawn)
    return total


def _held(spans: list[tuple[int, int]], row: int) -> int:
    return _COPIES * row * max((stop - start for start, stop in spans), default=0)


__all__ = ["correlation_cost"]
