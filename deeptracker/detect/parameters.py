"""Scores and alarm levels of filters, layers and the whole net: everything that runs along iterations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.detect.carried import Earlier, Found, earlier
from deeptracker.detect.rates import segments
from deeptracker.detect.scores import LEAST_FILTERS, own_scale, residuals, score
from deeptracker.detect.signals import FILTER_SIGNALS, MODEL_SIGNALS
from deeptracker.detect.states import filter_states, inactive
from deeptracker.detect.tail import Levels, alarm_levels

if TYPE_CHECKING:
    from deeptracker.store import Run

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

FALSE_PER_1000 = 0.3  # of all signals of filters, layers and model together
# Robust deviations. A few hundred records cannot vouch for less; one scalar has a lighter tail than a net's maximum.
LEAST_LEVEL = {"filter": 10.0, "layer": 10.0, "model": 6.0}
_BLOCK_FILTERS = 1024


@dataclass(slots=True)
class Scores:
    """Raw scores of one kind of thing: ``values`` (signal, thing, record) and the level of each signal.

    ``maxima`` (signal, record) is the largest |score| of each record. ``carried`` is what ``strongest`` gives for the
    first records of a run that was thinned: the values of those are not there any more.
    """

    values: npt.NDArray[np.float32]
    levels: list[Levels]
    maxima: Array
    carried: Found | None = None

    def strongest(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8], npt.NDArray[np.float32]]:
        """Score, signal and excess (score / level) of the signal closest to its level; each (record, thing)."""
        heights = np.stack([levels.level for levels in self.levels])
        size = np.abs(self.values)
        calibrated = np.where(np.isfinite(heights), heights, 1.0)  # uncalibrated: compare the scores themselves
        relative = np.where(np.isnan(size), -1, size / calibrated[:, None, :])
        signal = relative.argmax(0)
        best = np.take_along_axis(relative, signal[None], 0)[0]
        values = np.take_along_axis(self.values, signal[None], 0)[0]
        known = best >= 0
        level = np.take_along_axis(heights, signal, 0)
        excess = np.where(known & np.isfinite(level), best, np.nan)
        found = (
            np.where(known, values, np.nan).T.astype(np.float32),
            np.where(known, signal, -1).T.astype(np.int8),
            excess.T.astype(np.float32),
        )
        if self.carried is not None:
            first = slice(0, len(self.carried[0]))
            found[0][first], found[1][first], found[2][first] = self.carried
        return found


@dataclass(slots=True)
class Parameters:
    """Everything that is known of filters, layers and model along the records of ``filters/dense``.

    ``frontier`` is the first record that was judged anew: 0, unless the run was thinned.
    """

    iteration: Index
    starts: Index
    filters: Scores
    layers: Scores
    model: Scores
    states: xr.Dataset
    frontier: int = 0


def blocks_of_layers(sizes: npt.NDArray[np.int64]) -> list[slice]:
    """Consecutive whole layers, about a thousand filters each: what one task works on."""
    out, first, filters = [], 0, 0
    for number, size in enumerate(sizes):
        if filters and filters + size > _BLOCK_FILTERS:
            out.append(slice(first, number))
            first, filters = number, 0
        filters += int(size)
    return [*out, slice(first, len(sizes))]


def _score_block(run: Run, layers: slice, starts: Index, log_rates: Array, before: Earlier | None) -> dict[str, Any]:
    """One task: read some whole layers over all records, score every signal, find states."""
    architecture = run.dataset("architecture").load()
    first, sizes = architecture["first_filter"].values, architecture["filters"].values
    chosen = slice(int(first[layers.start]), int(first[layers.stop - 1] + sizes[layers.stop - 1]))
    count = layers.stop - layers.start
    layer = np.repeat(np.arange(count), sizes[layers])
    blocks = architecture["block"].values[layers]
    small = sizes[layers] < LEAST_FILTERS
    same_block = {name: number for number, name in reversed(list(enumerate(blocks)))}
    common_of = np.array([same_block[blocks[n]] if small[n] else n for n in range(count)], np.int64)
    names = {signal.name for signal in FILTER_SIGNALS} | {"g_norm2", "update_norm2", "w_rms", "nonfinite"}
    stored = run.dataset("filters/dense")
    dense = stored[sorted(names & set(stored.data_vars))].isel(filter=chosen).load()
    group = np.maximum(architecture["lr_group"].values[layers], 0)
    rate = log_rates[:, np.minimum(group, log_rates.shape[1] - 1)][:, layer]
    probe = None
    if run.has("filters/probe"):
        probe = run.dataset("filters/probe")[["act_std", "act_mean"]].isel(filter=chosen).load()
    activation = [str(name) for name in architecture["activation"].values[layers]]
    if before is None:
        states = filter_states(dense, probe, layer, activation)
    else:
        gone = bool(run.commit.groups["filters/dense"].thinned.covers(0))
        start = before.w_rms_at_start(chosen) if gone else None
        states = filter_states(
            dense, probe, layer, activation, start=start, before=before.states(chosen), position=before.position
        )
    away = inactive(states, dense["iteration"].values)
    filters, moves = [], []
    for signal in FILTER_SIGNALS:
        series = np.ascontiguousarray(signal.values(dense[signal.name].values, rate).T)
        series[away] = np.nan
        per_filter, per_layer = score(series, starts, layer, common_of)
        filters.append(per_filter.astype(np.float32))
        moves.append(per_layer.astype(np.float32))
    return {"filters": np.stack(filters), "layers": np.stack(moves), "states": states}


def score_parameters(run: Run, reference: list[dict[str, Array]] | None = None) -> Parameters:
    """Score a run's filters, layers and model.

    ``reference`` holds the maxima per signal of earlier runs (as ``maxima`` gives them), whose tails are borrowed.
    Of a run that was thinned, records before the frontier are what the earlier analysis made of them.
    """
    before = earlier(run)
    dense = run.dataset("filters/dense")
    iteration = dense["iteration"].values
    scalars = run.dataset("scalars").load().reindex(iteration=iteration)
    rates = scalars["learning_rate"].values
    if not rates.shape[1] or not np.isfinite(rates).any():
        rates = np.ones((len(iteration), 1))
    starts = segments(rates, dense["steps"].values)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_rates = np.log(rates)
    skipped = scalars["step_skipped"].values == 1
    log_rates[skipped | ~np.isfinite(log_rates).all(1)] = np.nan
    sizes = run.dataset("architecture")["filters"].values.astype(np.int64)
    tasks = [dask.delayed(_score_block)(run, part, starts, log_rates, before) for part in blocks_of_layers(sizes)]
    parts = dask.compute(*tasks)
    filters = np.concatenate([part["filters"] for part in parts], 1)
    layers = np.concatenate([part["layers"] for part in parts], 1)
    states = xr.concat([part["states"] for part in parts], "filter")
    model = np.stack([_score_scalar(signal.values(scalars[signal.name].values[:, None], np.zeros((1, 1))), starts)
                      for signal in MODEL_SIGNALS])  # fmt: skip
    signals = len(filters) + len(layers) + len(model)
    share = FALSE_PER_1000 / 1000 / signals
    borrowed = _borrow(reference or [])

    def calibrate(kind: str, values: npt.NDArray[np.float32]) -> Scores:
        tops, carried = maxima(values), None
        if before is not None and kind != "model":  # the scalars behind the model's scores are never thinned
            tops[:, : before.frontier] = before.maxima(kind)
            carried = before.strongest(kind)
        levels = [
            alarm_levels(row, share, least=LEAST_LEVEL[kind], borrowed=borrowed.get((kind, n)))
            for n, row in enumerate(tops)
        ]
        return Scores(values, levels, tops, carried)

    scored = calibrate("filter", filters), calibrate("layer", layers), calibrate("model", model)
    return Parameters(iteration, starts, *scored, states, 0 if before is None else before.frontier)


def _score_scalar(series: Array, starts: Index) -> npt.NDArray[np.float32]:
    rows = np.ascontiguousarray(series.T)
    own = residuals(rows, starts)
    scale = own_scale(own, starts)
    return np.divide(own, scale, out=np.full_like(own, np.nan), where=scale > 0).astype(np.float32)


def maxima(values: npt.NDArray[np.float32]) -> Array:
    """Largest |score| of each record, (signal, record) from (signal, thing, record); NaN where there is none."""
    size = np.abs(values)
    return np.where(np.isnan(size).all(1), np.nan, np.fmax.reduce(size, axis=1)).astype(np.float64)


def _borrow(reference: list[dict[str, Array]]) -> dict[tuple[str, int], Array]:
    out: dict[tuple[str, int], Array] = {}
    for kind in ("filter", "layer", "model"):
        tables = [run[kind] for run in reference if kind in run]
        if tables:
            together = np.concatenate(tables, 1)
            out |= {(kind, n): row for n, row in enumerate(together)}
    return out
