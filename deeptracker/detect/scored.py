"""The scores of filters, layers and the whole net up to their levels: what tasks make of the records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from deeptracker.aggregate import Batch, Later
from deeptracker.detect.blocks import Block, blocks, spans
from deeptracker.detect.carried import Earlier
from deeptracker.detect.scores import own_scale, residuals
from deeptracker.detect.scoring import Timeline, find_states, largest, score_signal
from deeptracker.detect.signals import FILTER_SIGNALS, MODEL_SIGNALS

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]


@dataclass(slots=True)
class Scored:
    """Scores of a run.

    Attributes
    ----------
    scratch : of each block, the regions where its filters' scores of each signal are; None where they are not kept.
    layers, model : (signal, record, layer) and (signal, record, 1).
    maxima : of "filter", "layer" and "model", the largest |score| of each record, (signal, record).
    states : onset and end of the filters' states.
    """

    along: Timeline
    blocks: list[Block]
    scratch: list[list[Any]]
    layers: Floats
    model: Floats
    maxima: dict[str, Array]
    states: xr.Dataset


def score_run(batch: Batch, run: Run, before: Earlier | None, writer: Any, rows: int) -> Later[Scored]:
    """Score filters, layers and model.

    Parameters
    ----------
    before : what an earlier analysis made of a part that was thinned since.
    writer : of the stage, for the scratch arrays; None where only the maxima are wanted.
    rows : records in a file of what will be written of the filters.
    """
    along, there = Timeline(run), blocks(run.dataset("architecture").load())
    records = len(along.iteration)
    windows = list(spans(records, rows))
    # Shared by all tasks, and nothing for Dask to look into.
    here, shared = (delayed(one, pure=False, traverse=False) for one in (run, along))
    scratch: list[list[Any]] = []
    states, scores = [], []
    for n, block in enumerate(there):
        size = block.filters.stop - block.filters.start
        regions = [
            None if writer is None else writer.scratch(f"{n}-{signal.name}", (records, size), "f4", rows)
            for signal in FILTER_SIGNALS
        ]
        scratch.append(regions)
        filters = delayed(block, pure=False, traverse=False)
        states.append(delayed(find_states, pure=False)(here, filters, before))
        for number, region in enumerate(regions):
            scores += [
                delayed(score_signal, pure=False)(here, filters, number, span, shared, states[-1], region)
                for span in windows
            ]

    def joined(found: list[Any]) -> Scored:
        results = iter(found[len(states) :])
        tops, moves = np.full((len(FILTER_SIGNALS), records), np.nan), []
        for _ in there:
            of_block = []
            for number in range(len(FILTER_SIGNALS)):
                mine = [next(results) for _ in windows]
                tops[number] = np.fmax(tops[number], np.concatenate([top for top, _ in mine]))
                of_block.append(np.concatenate([layers for _, layers in mine], axis=1).T)
            moves.append(np.stack(of_block))
        layers, model = np.concatenate(moves, axis=2), _score_scalars(along)
        maxima = {"filter": tops, "layer": _maxima(layers), "model": _maxima(model)}
        if before is not None:
            for kind in ("filter", "layer"):  # the scalars behind the model's scores are never thinned
                maxima[kind][:, : before.frontier] = before.maxima(kind)
        all_states = xr.concat([one for one, _ in found[: len(states)]], "filter")
        return Scored(along, there, scratch, layers, model, maxima, all_states)

    return batch.add([*states, *scores], joined)


def _score_scalars(along: Timeline) -> Floats:
    """Scores of the model's signals, (signal, record, 1)."""
    out = []
    for signal in MODEL_SIGNALS:
        series = signal.values(along.scalars[signal.name].values[:, None], np.zeros((1, 1)))
        own = residuals(np.ascontiguousarray(series.T), along.starts)
        scale = own_scale(own, along.starts)
        out.append(np.divide(own, scale, out=np.full_like(own, np.nan), where=scale > 0).T)
    return np.stack(out).astype(np.float32)


def _maxima(values: Floats) -> Array:
    return np.stack([largest(scores) for scores in values])


__all__ = ["Scored", "score_run"]
