"""States of a filter that are facts rather than scores: dead, frozen, exploding, non-finite, saturated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.detect.carried import carry_states
from deeptracker.schema.derived import STATES

Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

LASTS = 20  # records that a state must last before it counts
SETTLED = 50  # records before which a state is part of finding its feet
_DEAD_SHARE = 1e-3  # of the layer's median activation deviation
_EXPLODED = 10.0  # weights this many times their size at the start of the record


def episodes(flags: Flags, least: int) -> tuple[Index, Index]:
    """First lasting episode of each column of (records, rows) flags: at least ``least`` records long.

    Returns position of its first record and of the first record after it, −1 where there is none or where it
    lasts to the end.
    """
    records, rows = flags.shape
    onset, end = np.full(rows, -1, np.int64), np.full(rows, -1, np.int64)
    for row in np.flatnonzero(flags.any(0)):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], flags[:, row], [False]]).astype(np.int8)))
        for first, past in zip(edges[::2], edges[1::2], strict=True):
            if past - first >= least:
                onset[row], end[row] = first, past if past < records else -1
                break
    return onset, end


def filter_states(
    dense: xr.Dataset,
    probe: xr.Dataset | None,
    layer: Index,
    activation: list[str],
    *,
    start: npt.NDArray[np.float32] | None = None,
    before: xr.Dataset | None = None,
    position: int = 0,
) -> xr.Dataset:
    """Onset and end of each state of each filter of some whole layers.

    Parameters
    ----------
    dense, probe : the groups ``filters/dense`` and ``filters/probe`` (or None), loaded, for these filters.
    layer : (filters,) number of each filter's layer, 0 … n−1 among these.
    activation : (n,) the nonlinearity that follows each layer.
    start : (filters,) root mean square of the weights at the start, where the first record was thinned.
    before, position : states of an earlier analysis, which count for what began before that iteration.

    Returns
    -------
    ``onset`` and ``end`` (state, filter) int64, iterations; −1 = never, or lasts. *Dead*: no gradient over 20
    records while others of the layer have one, or on the probe a deviation of activations under a thousandth of the
    layer's median. *Frozen*: no update over 20 records while others have one and the gradient is not zero.
    *Exploding*: root mean square of the weights above 10 times that of the first record. *Non-finite*: any NaN or
    Inf, from its first record. *Saturated* (tanh, sigmoid): the probe's activations do not vary and stand at ±1 or
    at 0 or 1.
    """
    iteration = dense["iteration"].values
    gradient, update = dense["g_norm2"].values, dense["update_norm2"].values
    none, still = gradient == 0, update == 0
    rms = dense["w_rms"].values
    flags = {
        "dead": none & _others(~none & ~np.isnan(gradient), layer),
        "frozen": still & ~none & _others(~still & ~np.isnan(update), layer),
        "exploding": rms > _EXPLODED * (rms[:1] if start is None else start),
        "non-finite": dense["nonfinite"].values > 0,
        "saturated": np.zeros(rms.shape, bool),
    }
    found = {state: episodes(flags[state], 1 if state == "non-finite" else LASTS) for state in STATES}
    seen = [(flags, iteration)]
    onset = np.stack([_at(iteration, found[state][0]) for state in STATES])
    end = np.stack([_at(iteration, found[state][1]) for state in STATES])
    if probe is not None and probe.sizes["iteration"]:
        on_probe = _on_probe(probe, layer, activation)
        seen.append((on_probe, probe["iteration"].values))
        for state, there in on_probe.items():
            spacing = np.median(np.diff(probe["iteration"].values)) if probe.sizes["iteration"] > 1 else 1
            records = np.median(np.diff(iteration)) if len(iteration) > 1 else 1
            least = 1 + int(np.ceil(LASTS * records / spacing))
            first, past = (_at(probe["iteration"].values, p) for p in episodes(there, least))
            row = STATES.index(state)
            # The gradient tells the record; the probe, rarer, only adds what the gradient does not show.
            use = (onset[row] < 0) & (first >= 0)
            onset[row][use], end[row][use] = first[use], past[use]
    states = xr.Dataset(
        {"onset": (("state", "filter"), onset), "end": (("state", "filter"), end)}, {"state": list(STATES)}
    )
    return states if before is None else carry_states(states, before, position, seen)


def inactive(states: xr.Dataset, iteration: npt.NDArray[np.int64]) -> Flags:
    """Where a filter is dead or frozen, its first such record left out, (filter, record).

    Weights that only decay have no noise of their own: scored further, they would alarm at every rounding.
    """
    out = np.zeros((states.sizes["filter"], len(iteration)), bool)
    for state in ("dead", "frozen"):
        onset, end = (states[name].sel(state=state).values[:, None] for name in ("onset", "end"))
        out |= (onset >= 0) & (iteration > onset) & ((end < 0) | (iteration < end))
    return out


def _on_probe(probe: xr.Dataset, layer: Index, activation: list[str]) -> dict[str, Flags]:
    spread, mean = probe["act_std"].values, probe["act_mean"].values
    dead = np.zeros(spread.shape, bool)
    saturated = np.zeros(spread.shape, bool)
    for number, name in enumerate(activation):
        mine = layer == number
        typical = np.median(spread[:, mine], axis=1, keepdims=True)
        constant = spread[:, mine] <= _DEAD_SHARE * typical
        if name in ("Tanh", "Sigmoid", "Hardtanh"):
            at_edge = (np.abs(mean[:, mine]) > 0.98) | ((name == "Sigmoid") & (mean[:, mine] < 0.02))
            saturated[:, mine] = constant & at_edge
        else:
            dead[:, mine] = constant & (typical > 0)
    return {"dead": dead, "saturated": saturated}


def _others(active: Flags, layer: Index) -> Flags:
    """Whether any filter of the same layer is active at the record."""
    out = np.zeros_like(active)
    for number in np.unique(layer):
        mine = layer == number
        out[:, mine] = active[:, mine].any(1, keepdims=True)
    return out


def _at(iteration: npt.NDArray[np.int64], position: Index) -> Index:
    return np.where(position >= 0, iteration[np.maximum(position, 0)], -1).astype(np.int64)
