"""Distributions of blocks, stages and the model: histograms of layers add up, and quartiles are read off the sum.

The fixed signed-log histogram is the quantile sketch of the hierarchy: a layer's is counted over its weights, and the
sum of its layers' is that of the concatenated weights, in whatever order they are added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from deeptracker.aggregate.batch import Batch, Later
from deeptracker.aggregate.grown import Earlier
from deeptracker.aggregate.reductions import PARTS
from deeptracker.aggregate.training import Level, hierarchy
from deeptracker.aggregate.windows import Readable, Source, windows
from deeptracker.conform import build
from deeptracker.statistics import HISTOGRAM_EDGES, histogram_quartiles

QUARTILES = ("q1", "median", "q3")
LETTERS = ("w", "g")
HISTOGRAMS = tuple(f"{letter}_hist" for letter in LETTERS)
HISTOGRAM_BYTES = 8 << 20  # of a window of one of them

Counts = npt.NDArray[np.int64]


def merge_histograms(counts: npt.NDArray[np.integer], group: npt.NDArray[np.integer], groups: int) -> Counts:
    """Histograms of the concatenated parameters of each group of layers.

    ``counts`` is (records, layers, bins), ``group`` (layers,) the group of each layer; (records, groups, bins) int64.
    """
    law = PARTS["histogram"]
    whole = np.full((len(counts), groups, counts.shape[2]), law.fill)
    for layer, target in enumerate(group.tolist()):
        whole[:, target] = law.combine(whole[:, target], counts[:, layer].astype(np.float64))
    return whole.astype(np.int64)


def quartiles(counts: Counts, low: npt.NDArray[Any], high: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """First quartile, median and third quartile of each (record, group): (records, groups, 3).

    Parameters
    ----------
    counts : (records, groups, bins). low, high : (records, groups) extremes, NaN where they are not known.

    Each is wrong by less than the width of its bin: a factor of 1.78 between 1e-8 and 1e2, 1e-8 around zero. Where
    the extremes are not known, values past 1e2 count as 1e2. NaN of nothing.
    """
    edge = float(HISTOGRAM_EDGES[-1])
    out = np.full((*counts.shape[:2], 3), np.nan, np.float32)
    for place in np.ndindex(*counts.shape[:2]):
        bottom, top = (float(np.nan_to_num(v[place], nan=e)) for v, e in ((low, -edge), (high, edge)))
        out[place] = histogram_quartiles(counts[place].astype(np.int64), bottom, top)
    return out


def _window(source: Source, dense: Source | None, start: int, stop: int, levels: tuple[Level, ...]) -> dict[str, Any]:
    """(level, variable) → array of one window."""
    out: dict[str, Any] = {}
    at = source.dataset["iteration"].values[start:stop]
    for letter in LETTERS:
        name = f"{letter}_hist"
        if name not in source.dataset:
            continue
        counts = source.read(name, start, stop)
        extremes = [_extreme(dense, f"{letter}_{end}", at, counts.shape[1]) for end in ("min", "max")]
        for level in levels:
            groups = len(level.members)
            whole = merge_histograms(np.maximum(counts, 0), level.group, groups)
            ends = [np.full((len(at), groups), np.nan) for _ in extremes]
            for layer, target in enumerate(level.group.tolist()):
                for end, values, law in zip(ends, extremes, (np.fmin, np.fmax), strict=True):
                    end[:, target] = law(end[:, target], values[:, layer])
            found = quartiles(whole, *ends)
            out[f"{level.name}/{name}"] = whole
            out |= {f"{level.name}/{letter}_{q}": found[..., n] for n, q in enumerate(QUARTILES)}
    return out


def _extreme(dense: Source | None, name: str, at: npt.NDArray[np.int64], layers: int) -> npt.NDArray[np.float64]:
    """Extremes of each layer at the iterations of the full schedule, where they were recorded too."""
    out = np.full((len(at), layers), np.nan)
    if dense is None or name not in dense.dataset:
        return out
    iteration = dense.dataset["iteration"].values
    rows = np.searchsorted(iteration, at)
    for number, row in enumerate(rows.tolist()):
        if row < len(iteration) and iteration[row] == at[number]:
            out[number] = dense.read(name, row, row + 1)[0]
    return out


def index_distributions(batch: Batch, run: Readable, before: Earlier | None = None) -> Later[dict[str, xr.Dataset]]:
    """``index/block_distributions``, ``stage_distributions`` and ``model_distributions`` of a run with the full
    schedule; rows that ``before`` has for good are left out.
    """
    if not run.has("layers/full") or not run.has("architecture"):
        return batch.add([], _nothing)
    source = Source(run, "layers/full")
    first = before.rows.get("layers/full", 0) if before is not None else 0
    spans = windows(source, "iteration", first=first, most_bytes=HISTOGRAM_BYTES) or [(first, first)]
    if not any(name in source.dataset for name in HISTOGRAMS):
        return batch.add([], _nothing)
    dense = Source(run, "layers/dense") if run.has("layers/dense") else None
    levels = hierarchy(run.dataset("architecture").load())
    tasks = [delayed(_window, pure=False)(source, dense, *span, levels) for span in spans]
    iteration = source.dataset["iteration"].values.astype(np.int64)[first:]
    return batch.add(tasks, lambda parts: _tables(parts, levels, iteration))


def _nothing(_: list[Any]) -> dict[str, xr.Dataset]:
    return {}


def _tables(
    parts: list[dict[str, Any]], levels: tuple[Level, ...], iteration: npt.NDArray[np.int64]
) -> dict[str, xr.Dataset]:
    """A group for each level, of what came of the windows."""
    out = {}
    for level in levels:
        whole = {
            key.split("/")[1]: np.concatenate([part[key] for part in parts])
            for key in parts[0]
            if key.startswith(f"{level.name}/")
        }
        group = f"index/{level.name}_distributions"
        axes: dict[str, Any] = {"iteration": iteration, "bin": HISTOGRAM_EDGES}
        if level.name == "model":
            whole = {name: values[:, 0] for name, values in whole.items()}
        else:
            axes[level.name] = level.members
        out[group] = build(group, whole, axes)
    return out


__all__ = ["HISTOGRAMS", "HISTOGRAM_BYTES", "index_distributions", "merge_histograms", "quartiles"]
