"""Scores and alarm levels of filters, layers and the whole net: everything that runs along iterations.

Scores of filters are eight times a variable of the log, and no process ever holds them all: a task scores one signal
of a block of layers in a window, and leaves the scores in a scratch array; the levels come from the maxima of each
record, which are few; then a task for each range of records takes the strongest of the signals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from deeptracker.aggregate import Progress, compute
from deeptracker.detect.blocks import Block, blocks, spans
from deeptracker.detect.carried import Found, earlier
from deeptracker.detect.scores import own_scale, residuals
from deeptracker.detect.scoring import Timeline, find_states, largest, score_signal
from deeptracker.detect.signals import FILTER_SIGNALS, MODEL_SIGNALS
from deeptracker.detect.strongest import Peaks, strongest, strongest_window
from deeptracker.detect.tail import Levels, alarm_levels

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]
Into = tuple[Any, Any, Any]

FALSE_PER_1000 = 0.3  # of all signals of filters, layers and model together
# Robust deviations. A few hundred records cannot vouch for less; one scalar has a lighter tail than a net's maximum.
LEAST_LEVEL = {"filter": 10.0, "layer": 10.0, "model": 6.0}


@dataclass(slots=True)
class Scores:
    """Scores of layers or of the model.

    ``values`` (signal, record, thing); ``levels`` of each signal; ``maxima`` (signal, record) the largest |score| of
    each record; ``found`` score, signal and excess of the strongest signal, (record, thing) each.
    """

    values: Floats
    levels: list[Levels]
    maxima: Array
    found: Found


@dataclass(slots=True)
class FilterScores:
    """Scores of all filters, which are on disk, and what has to be known of them at once.

    ``levels`` and ``maxima`` as in ``Scores``. ``into`` are the regions of score, signal and excess of the strongest
    signal, (record, filter) each, and ``peaks`` the strongest filter of each layer.
    """

    levels: list[Levels]
    maxima: Array
    into: Into
    peaks: Peaks


@dataclass(slots=True)
class Parameters:
    """Everything that is known of filters, layers and model along the records of ``filters/dense``.

    ``frontier`` is the first record that was judged anew: 0, unless the run was thinned.
    """

    iteration: Index
    filters: FilterScores
    layers: Scores
    model: Scores
    states: xr.Dataset
    frontier: int = 0


class Scoring:
    """The scores of a run, up to the levels.

    Parameters
    ----------
    run : of which a thinned part is what the earlier analysis made of it.
    writer : of the stage, for the scratch arrays; None where only the maxima are wanted.
    rows : records in a file of what will be written of the filters.
    """

    def __init__(self, run: Run, writer: Any, rows: int, progress: Progress | None = None) -> None:
        self.along, self.before = Timeline(run), earlier(run)
        self.blocks = blocks(run.dataset("architecture").load())
        records = len(self.along.iteration)
        self.scratch: list[list[Any]] = [
            [
                None if writer is None else writer.scratch(f"{n}-{signal.name}", _shape(block, records), "f4", rows)
                for signal in FILTER_SIGNALS
            ]
            for n, block in enumerate(self.blocks)
        ]
        shared = delayed(self.along, pure=False, traverse=False)
        states, scores = [], []
        windows = list(spans(records, rows))
        for block, regions in zip(self.blocks, self.scratch, strict=True):
            there = delayed(block, pure=False, traverse=False)
            states.append(delayed(find_states, pure=False)(run, there, self.before))
            for number, region in enumerate(regions):
                scores += [
                    delayed(score_signal, pure=False)(run, there, number, span, shared, states[-1], region)
                    for span in windows
                ]
        found = compute([*states, *scores], what="scores of filters and layers", progress=progress)
        self.states = xr.concat(found[: len(states)], "filter")
        results = iter(found[len(states) :])
        tops, moves = np.full((len(FILTER_SIGNALS), records), np.nan), []
        for _ in self.blocks:
            of_block = []
            for number in range(len(FILTER_SIGNALS)):
                mine = [next(results) for _ in windows]
                tops[number] = np.fmax(tops[number], np.concatenate([top for top, _ in mine]))
                of_block.append(np.concatenate([layers for _, layers in mine], axis=1).T)
            moves.append(np.stack(of_block))
        self.layers = np.concatenate(moves, axis=2)
        scalars = self.along.scalars
        self.model = np.stack([_score_scalar(signal.values(scalars[signal.name].values[:, None], np.zeros((1, 1))),
                                             self.along.starts) for signal in MODEL_SIGNALS])  # fmt: skip
        self.maxima = {"filter": tops, "layer": _maxima(self.layers), "model": _maxima(self.model)}
        if self.before is not None:
            for kind in ("filter", "layer"):  # the scalars behind the model's scores are never thinned
                self.maxima[kind][:, : self.before.frontier] = self.before.maxima(kind)

    def levels(self, kind: str, borrowed: dict[tuple[str, int], Array]) -> list[Levels]:
        """Alarm level of each signal; all signals together are to give the false alarms that are allowed."""
        share = FALSE_PER_1000 / 1000 / sum(len(rows) for rows in self.maxima.values())
        return [
            alarm_levels(row, share, least=LEAST_LEVEL[kind], borrowed=borrowed.get((kind, n)))
            for n, row in enumerate(self.maxima[kind])
        ]


def _shape(block: Block, records: int) -> tuple[int, int]:
    return records, block.filters.stop - block.filters.start


def score_parameters(
    run: Run, writer: Any, into: Into, reference: list[dict[str, Array]], progress: Progress | None = None
) -> Parameters:
    """Score a run's filters, layers and model.

    Parameters
    ----------
    writer : of the stage. into : its regions for score, signal and excess of the filters, (records, filters) each.
    reference : maxima per signal of earlier runs (as ``maxima`` gives them), whose tails are borrowed.

    Of a run that was thinned, records before the frontier are what the earlier analysis made of them.
    """
    rows = max(region.file_rows for region in into)
    scoring, borrowed = Scoring(run, writer, rows, progress), _borrow(reference)
    before = scoring.before
    levels = scoring.levels("filter", borrowed)
    heights = np.stack([level.level for level in levels])
    shared = delayed(scoring.blocks, pure=False, traverse=False)
    records = len(scoring.along.iteration)
    tasks = [
        delayed(strongest_window, pure=False)(
            shared, scoring.scratch, into, heights[:, at : at + rows], at, min(at + rows, records), before
        )
        for at in range(0, records, rows)
    ]
    peaks = Peaks.joined(list(compute(tasks, what="strongest signals", progress=progress)))

    def scored(kind: str, values: Floats) -> Scores:
        levels = scoring.levels(kind, borrowed)
        found = strongest(values, np.stack([level.level for level in levels]))
        if before is not None and kind == "layer":
            before.put_into(found, kind, 0, before.frontier)
        return Scores(values, levels, scoring.maxima[kind], found)

    return Parameters(
        scoring.along.iteration,
        FilterScores(levels, scoring.maxima["filter"], into, peaks),
        scored("layer", scoring.layers),
        scored("model", scoring.model),
        scoring.states,
        0 if before is None else before.frontier,
    )


def maxima(run: Run) -> dict[str, Array]:
    """Largest |score| of each record, (signal, record) for filters, layers and model: the tail that a run lends."""
    return Scoring(run, None, 1).maxima


def _score_scalar(series: Array, starts: Index) -> Floats:
    rows = np.ascontiguousarray(series.T)
    own = residuals(rows, starts)
    scale = own_scale(own, starts)
    return np.divide(own, scale, out=np.full_like(own, np.nan), where=scale > 0).T.astype(np.float32)


def _maxima(values: Floats) -> Array:
    return np.stack([largest(scores) for scores in values])


def _borrow(reference: list[dict[str, Array]]) -> dict[tuple[str, int], Array]:
    out: dict[tuple[str, int], Array] = {}
    for kind in ("filter", "layer", "model"):
        tables = [run[kind] for run in reference if kind in run]
        if tables:
            together = np.concatenate(tables, 1)
            out |= {(kind, n): row for n, row in enumerate(together)}
    return out


__all__ = ["FALSE_PER_1000", "FilterScores", "Parameters", "Scores", "maxima", "score_parameters"]
