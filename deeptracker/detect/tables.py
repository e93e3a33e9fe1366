"""Groups of the stage ``anomalies`` that run along the records: scores, levels, states, lowest cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask import delayed

from deeptracker.aggregate import Batch, Later, Source, windows
from deeptracker.conform import build
from deeptracker.detect.carried import Earlier
from deeptracker.detect.original import TOP, lowest_cosine
from deeptracker.detect.parameters import Into, Parameters
from deeptracker.schema.derived import MODEL_SIGNALS, SIGNALS

if TYPE_CHECKING:
    from deeptracker.store import Run

Lowest = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]

_KINDS = {"score": np.float32, "signal": np.int8, "excess": np.float32}


def begin_filters(run: Run, writer: Any) -> Into:
    """The arrays of score, signal and excess of the filters, (records, filters), for tasks to fill."""
    dense = run.dataset("filters/dense")
    shape = dense.sizes["iteration"], dense.sizes["filter"]
    # Only declared here: nothing is computed of these.
    arrays = {f"filter_{name}": da.zeros(shape, dtype=dtype, chunks=-1) for name, dtype in _KINDS.items()}
    table = build("anomalies/filters", arrays, {"iteration": dense["iteration"].values})
    regions = writer.begin("anomalies/filters", table)
    return regions["filter_score"], regions["filter_signal"], regions["filter_excess"]


def put_parameters(run: Run, found: Parameters, lowest: Lowest, before: Earlier | None, writer: Any) -> None:
    """Everything but the filters' scores, which tasks have written."""
    coordinates = {"iteration": found.iteration}
    names = run.dataset("architecture")["layer"].values
    arrays = {f"layer_{name}": values for name, values in zip(_KINDS, found.layers.found, strict=True)}
    tables = {"anomalies/layers": build("anomalies/layers", arrays, coordinates | {"layer": names})}
    excesses = [scores.found[2] for scores in (found.layers, found.model)]
    strongest = np.fmax.reduce([found.filters.peaks.record, *(_largest(excess) for excess in excesses)])
    arrays = {
        "filter_level": np.stack([v.level for v in found.filters.levels], 1).astype(np.float32),
        "layer_level": np.stack([v.level for v in found.layers.levels], 1).astype(np.float32),
        "filter_maximum": found.filters.maxima.T.astype(np.float32),
        "layer_maximum": found.layers.maxima.T.astype(np.float32),
        "model_score": found.model.values[:, :, 0].T,
        "model_level": np.stack([v.level for v in found.model.levels], 1).astype(np.float32),
        "iteration_score": strongest,
    }
    axes = coordinates | {"signal": list(SIGNALS), "model_signal": list(MODEL_SIGNALS)}
    tables["anomalies/iterations"] = build("anomalies/iterations", arrays, axes)
    place, cosine = lowest
    if before is not None:
        place[: before.frontier], cosine[: before.frontier] = before.lowest_cosine()
    ranks = coordinates | {"rank": np.arange(1, TOP + 1)}
    arrays = {"filter": place, "update_cosine": cosine}
    tables["anomalies/lowest_cosine"] = build("anomalies/lowest_cosine", arrays, ranks)
    states = {name: found.states[name].values for name in ("onset", "end")}
    tables["anomalies/states"] = build("anomalies/states", states, {"state": found.states["state"].values.tolist()})
    writer.put_many(tables)


def find_lowest(batch: Batch, run: Run) -> Later[Lowest]:
    """The original's ten filters of each record, and their cosines; (records, rank) each."""
    source = Source(run, "filters/dense")
    layer = run.dataset("architecture")["filter_layer"].values.astype(np.int64)
    shared = delayed(layer, pure=False)
    spans = windows(source, "iteration", most_bytes=16 << 20)
    tasks = [delayed(_lowest_in, pure=False)(source, *span, shared) for span in spans]
    return batch.add(tasks, _joined)


def _joined(found: list[Lowest]) -> Lowest:
    return np.concatenate([place for place, _ in found]), np.concatenate([cosine for _, cosine in found])


def _lowest_in(source: Source, start: int, stop: int, layer: npt.NDArray[np.int64]) -> Lowest:
    return lowest_cosine(source.read("update_cosine", start, stop), layer)


def _largest(excess: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.fmax.reduce(excess, axis=1) if excess.shape[1] else np.full(len(excess), np.nan, np.float32)


__all__ = ["begin_filters", "find_lowest", "put_parameters"]
