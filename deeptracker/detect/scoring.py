"""Tasks of the scores: states of a block of layers, one signal of a block in a window. Nothing else is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.aggregate import Source
from deeptracker.detect.blocks import Block, rows
from deeptracker.detect.carried import Earlier
from deeptracker.detect.rates import segments, segments_of_updates
from deeptracker.detect.scores import ROWS, score
from deeptracker.detect.signals import FILTER_SIGNALS, Signal
from deeptracker.detect.sparse import Sparse
from deeptracker.detect.states import OF_NET, OF_PROBES, OF_RECORDS, Net, States, inactive

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

DENSE, PROBE = "filters/dense", "filters/probe"


class Timeline:
    """What all filters have in common along the records of ``filters/dense``.

    No dataclass: Dask would look for tasks in all of its fields.

    Attributes
    ----------
    iteration, starts : (records,) iterations, and the first record of the segment that each belongs to.
    starts_of_updates : the same, for updates over their learning rate.
    log_rates : (records, parameter groups) log η; NaN where the step was skipped or a rate is 0.
    scalars : the group ``scalars`` at these iterations.
    """

    def __init__(self, run: Run) -> None:
        dense = run.dataset(DENSE)
        self.iteration: Index = dense["iteration"].values
        self.scalars = run.dataset("scalars").load().reindex(iteration=self.iteration)
        rates = self.scalars["learning_rate"].values
        if not rates.shape[1] or not np.isfinite(rates).any():
            rates = np.ones((len(self.iteration), 1))
        steps = dense["steps"].values
        self.starts: Index = segments(rates, steps)
        self.starts_of_updates = segments_of_updates(self.starts, steps)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.log_rates: Array = np.log(rates)
        skipped = self.scalars["step_skipped"].values == 1
        self.log_rates[skipped | ~np.isfinite(self.log_rates).all(1)] = np.nan

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "scalars": None}  # no task needs them


def find_states(run: Run, block: Block, before: Earlier | None) -> tuple[xr.Dataset, Sparse]:
    """States of the filters of a block over all records, and where they learn only now and then; read window by
    window.
    """
    records = Source(run, DENSE)
    iteration = records.dataset["iteration"].values
    start = None
    if before is not None and bool(run.commit.groups[DENSE].thinned.covers(0)):
        start = before.w_rms_at_start(block.filters)
    probe, apart = None, 1.0
    if run.has(PROBE):
        probe = Source(run, PROBE)
        at = probe.dataset["iteration"].values
        spacing = float(np.median(np.diff(at))) if len(at) > 1 else 1.0
        apart = spacing / (float(np.median(np.diff(iteration))) if len(iteration) > 1 else 1.0)
    states = States(
        block.layer,
        block.activation,
        records_a_probe=apart,
        start=start,
        position=None if before is None else before.position,
    )
    sparse = Sparse(len(block.layer))
    net = Net.of(run.dataset("scalars")[list(OF_NET)].load().reindex(iteration=iteration))
    for first, stop in rows(run, DENSE):
        values = block.read(records, OF_RECORDS, first, stop)
        states.see(values, iteration[first:stop], net.part(first, stop))
        sparse.see(values["g_norm2"] == 0)
    if probe is not None:
        for first, stop in rows(run, PROBE):
            states.see_probe(block.read(probe, OF_PROBES, first, stop), at[first:stop])
    return states.found(None if before is None else before.states(block.filters)), sparse


def score_signal(
    run: Run,
    block: Block,
    number: int,
    span: tuple[int, int, int],
    along: Timeline,
    states: tuple[xr.Dataset, Sparse],
    into: Any,
) -> tuple[Array, npt.NDArray[np.float32]]:
    """Scores of one signal of a block in a window; those of the filters go ``into`` a region, if there is one.

    Parameters
    ----------
    number : of the signal, in the order of ``FILTER_SIGNALS``.
    span : first record that is read, start and stop of the window, as ``blocks.spans`` gives them.
    states : as ``find_states`` gives them: what is dead, frozen, or learns only now and then gets no score.

    Returns
    -------
    Largest |score| of any filter of the block at each record (records,), NaN where there is none; and the scores of
    the layers (layers, records). Both are the same for any window.
    """
    read, start, stop = span
    raw = Source(run, DENSE).read(FILTER_SIGNALS[number].name, read, stop, block.filters)
    series = _series(FILTER_SIGNALS[number], raw, along.log_rates[read:stop], block.rate)
    del raw
    found, sparse = states
    series[inactive(found, along.iteration[read:stop]) | sparse.at(read, stop)] = np.nan
    starts = along.starts_of_updates if FILTER_SIGNALS[number].per_rate else along.starts
    per_filter, per_layer = score(series, np.maximum(starts[read:stop] - read, 0), block.layer, block.common_of)
    scores = np.ascontiguousarray(per_filter[:, start - read :].T, np.float32)
    if into is not None:
        into.put(start, scores)
    return largest(scores), per_layer[:, start - read :].astype(np.float32)


def _series(signal: Signal, raw: npt.NDArray[np.float32], log_rates: Array, group: Index) -> Array:
    """The watched series (filters, records) of (records, filters) as stored."""
    series = np.empty(raw.shape[::-1])
    group = np.minimum(group, log_rates.shape[1] - 1)
    for first in range(0, len(series), ROWS):
        some = slice(first, first + ROWS)
        series[some] = signal.values(raw[:, some], log_rates[:, group[some]]).T
    return series


def largest(scores: npt.NDArray[np.float32]) -> Array:
    """Largest |score| of each record, (records, things) → (records,); NaN where there is none."""
    if not scores.shape[1]:
        return np.full(len(scores), np.nan)
    return np.fmax.reduce(np.abs(scores), axis=1).astype(np.float64)


__all__ = ["DENSE", "Timeline", "find_states", "largest", "score_signal"]
