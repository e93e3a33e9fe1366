"""Scores and alarm levels of filters, layers and the whole net: everything that runs along iterations.

Scores of filters are eight times a variable of the log, and no process ever holds them all: a task scores one signal
of a block of layers in a window, and leaves the scores in a scratch array; the levels come from the maxima of each
record, which are few; then a task for each range of records takes the strongest of the signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from deeptracker.aggregate import Batch, Later, alone
from deeptracker.detect.carried import Earlier, Found, earlier
from deeptracker.detect.scored import Scored, score_run
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


def score_parameters(
    batch: Batch, scored: Scored, into: Into, before: Earlier | None, reference: list[dict[str, Array]]
) -> Later[Parameters]:
    """Alarm levels of a run's scores, and the strongest signal of every filter, layer and the model.

    Parameters
    ----------
    into : regions for score, signal and excess of the filters, (records, filters) each.
    before : what an earlier analysis made of a part that was thinned since; records before the frontier stay so.
    reference : maxima per signal of earlier runs (as ``maxima`` gives them), whose tails are borrowed.
    """
    borrowed = _borrow(reference)
    share = FALSE_PER_1000 / 1000 / sum(len(rows) for rows in scored.maxima.values())  # of each signal

    def levels(kind: str) -> list[Levels]:
        return [
            alarm_levels(row, share, least=LEAST_LEVEL[kind], borrowed=borrowed.get((kind, n)))
            for n, row in enumerate(scored.maxima[kind])
        ]

    def judged(kind: str, values: Floats) -> Scores:
        mine = levels(kind)
        found = strongest(values, np.stack([level.level for level in mine]))
        if before is not None and kind == "layer":
            before.put_into(found, kind, 0, before.frontier)
        return Scores(values, mine, scored.maxima[kind], found)

    filters = levels("filter")
    later = batch.add(
        _strongest(scored, into, np.stack([level.level for level in filters]), before),
        lambda peaks: Parameters(
            scored.along.iteration,
            FilterScores(filters, scored.maxima["filter"], into, Peaks.joined(peaks)),
            layers,
            model,
            scored.states,
            0 if before is None else before.frontier,
        ),
    )
    layers, model = judged("layer", scored.layers), judged("model", scored.model)  # while those tasks are done
    return later


def _strongest(scored: Scored, into: Into, heights: Array, before: Earlier | None) -> list[Any]:
    """Tasks that write the strongest signal of every filter at every record, one for the records of a file."""
    records, rows = len(scored.along.iteration), max(region.file_rows for region in into)
    # Shared by all tasks, and nothing for Dask to look into.
    work = delayed(partial(strongest_window, scored.blocks, scored.scratch, into, before), pure=False, traverse=False)
    return [
        delayed(_call, pure=False)(work, heights[:, start : start + rows], start, min(start + rows, records))
        for start in range(0, records, rows)
    ]


def _call(work: Callable[[Array, int, int], Peaks], heights: Array, start: int, stop: int) -> Peaks:
    return work(heights, start, stop)


def maxima(run: Run) -> dict[str, Array]:
    """Largest |score| of each record, (signal, record) for filters, layers and model: the tail that a run lends."""
    return alone(score_run, run, earlier(run), None, 1).maxima


def _borrow(reference: list[dict[str, Array]]) -> dict[tuple[str, int], Array]:
    out: dict[tuple[str, int], Array] = {}
    for kind in ("filter", "layer", "model"):
        tables = [run[kind] for run in reference if kind in run]
        if tables:
            together = np.concatenate(tables, 1)
            out |= {(kind, n): row for n, row in enumerate(together)}
    return out


__all__ = ["FALSE_PER_1000", "FilterScores", "Parameters", "Scores", "maxima", "score_parameters"]
