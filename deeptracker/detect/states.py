"""States of a filter that are facts rather than scores: dead, frozen, exploding, non-finite, saturated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.detect.carried import carry_states
from deeptracker.detect.episodes import Episodes
from deeptracker.schema.derived import STATES

Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]
Values = Mapping[str, npt.NDArray[Any]]

LASTS = 20  # records that a state must last before it counts
SETTLED = 50  # records before which a state is part of finding its feet
_DEAD_SHARE = 1e-3  # of the layer's median activation deviation
_EXPLODED = 10.0  # weights this many times their size at the start of the record
OF_RECORDS = ("g_norm2", "update_norm2", "w_rms", "nonfinite")
OF_PROBES = ("act_std", "act_mean")
OF_NET = ("learning_rate", "step_skipped", "grad_norm")
_ON_PROBE = ("dead", "saturated")


@dataclass(frozen=True, slots=True)
class Net:
    """Of each record, whether the net has a gradient at all, and whether the optimizer made a step with a rate."""

    has_gradient: Flags
    moves: Flags

    @classmethod
    def of(cls, scalars: xr.Dataset) -> Net:
        """From ``OF_NET`` at these records; what is not known counts as not so."""
        rates = scalars["learning_rate"].values.reshape(scalars.sizes["iteration"], -1)
        moves = (scalars["step_skipped"].values != 1) & (rates > 0).any(1)
        return cls(scalars["grad_norm"].values > 0, moves)

    def part(self, start: int, stop: int) -> Net:
        """Of some records."""
        return Net(self.has_gradient[start:stop], self.moves[start:stop])


class States:
    """Onset and end of each state of each filter of some whole layers, told window by window.

    *Dead*: no gradient over 20 records while others of the layer have one, or on the probe a deviation of activations
    under a thousandth of the layer's median. *Frozen*: no update over 20 records while others of the layer have one
    and the gradient is not zero. A layer that as a whole has no gradient, or no update, is so too, if it had one and
    the net still has. *Exploding*: root mean square of the weights above 10 times that of the first record.
    *Non-finite*: any NaN or Inf, from its first record. *Saturated* (tanh, sigmoid): the probe's activations do not
    vary and stand at ±1 or at 0 or 1.

    Parameters
    ----------
    layer : (filters,) number of each filter's layer, 0 … n−1 among these.
    activation : (n,) the nonlinearity that follows each layer.
    records_a_probe : records between two rows of the probe: an episode must last as long on both.
    start : (filters,) root mean square of the weights at the start, where the first record was thinned.
    position : the iteration before which an earlier analysis counts.
    """

    def __init__(
        self,
        layer: Index,
        activation: Sequence[str],
        *,
        records_a_probe: float = 1.0,
        start: npt.NDArray[np.float32] | None = None,
        position: int | None = None,
    ) -> None:
        self._layer, self._activation, self._start, self._position = layer, activation, start, position
        columns = len(layer)
        self._by_record = {
            state: Episodes(columns, 1 if state == "non-finite" else LASTS, position)
            for state in STATES
            if state != "saturated"
        }
        least = 1 + int(np.ceil(LASTS / records_a_probe))
        self._by_probe = {state: Episodes(columns, least, position) for state in _ON_PROBE}
        self._had = {name: np.zeros(columns, bool) for name in ("g_norm2", "update_norm2")}

    def see(self, values: Values, iteration: Index, net: Net) -> None:
        """The next records: (records, filters) of ``OF_RECORDS``, and what the whole net did at each."""
        none, still = values["g_norm2"] == 0, values["update_norm2"] == 0
        if self._start is None:
            self._start = values["w_rms"][0]
        flags = {
            "dead": none & self._elsewhere("g_norm2", values, net.has_gradient),
            "frozen": still & ~none & self._elsewhere("update_norm2", values, net.moves),
            "exploding": values["w_rms"] > _EXPLODED * self._start,
            "non-finite": values["nonfinite"] > 0,
        }
        for state, episodes in self._by_record.items():
            episodes.see(flags[state], iteration)

    def _elsewhere(self, name: str, values: Values, net: Flags) -> Flags:
        """Whether others of the layer have some of it, or the filter had and the net has; (records, filters)."""
        some = values[name] > 0
        had = np.logical_or.accumulate(np.concatenate([self._had[name][None], some]), axis=0)
        self._had[name] = had[-1]
        return _others(some, self._layer) | (had[:-1] & net[:, None])

    def see_probe(self, values: Values, iteration: Index) -> None:
        """The next rows of the probe: (rows, filters) of ``OF_PROBES``."""
        flags = _on_probe(values["act_std"], values["act_mean"], self._layer, self._activation)
        for state, episodes in self._by_probe.items():
            episodes.see(flags[state], iteration)

    def found(self, before: xr.Dataset | None = None) -> xr.Dataset:
        """``onset`` and ``end`` (state, filter) int64, iterations; −1 = never, or lasts.

        ``before`` are states of an earlier analysis, which count for what began before the position.
        """
        onset, end = (np.full((len(STATES), len(self._layer)), -1, np.int64) for _ in range(2))
        for row, state in enumerate(STATES):
            # The gradient tells the record; the probe, rarer, only adds what the gradient does not show.
            for source in (self._by_record, self._by_probe):
                if state in source:
                    use = (onset[row] < 0) & (source[state].onset >= 0)
                    onset[row][use], end[row][use] = source[state].onset[use], source[state].end[use]
        states = xr.Dataset(
            {"onset": (("state", "filter"), onset), "end": (("state", "filter"), end)}, {"state": list(STATES)}
        )
        if before is None or self._position is None:
            return states
        return carry_states(states, before, self._position, (self._by_record, self._by_probe))


def inactive(states: xr.Dataset, iteration: npt.NDArray[np.int64]) -> Flags:
    """Where a filter is dead or frozen, its first such record left out, (filter, record).

    Weights that only decay have no noise of their own: scored further, they would alarm at every rounding.
    """
    out = np.zeros((states.sizes["filter"], len(iteration)), bool)
    for state in ("dead", "frozen"):
        onset, end = (states[name].sel(state=state).values for name in ("onset", "end"))
        for row in np.flatnonzero(onset >= 0).tolist():
            out[row] |= (iteration > onset[row]) & ((end[row] < 0) | (iteration < end[row]))
    return out


def _on_probe(spread: Any, mean: Any, layer: Index, activation: Sequence[str]) -> dict[str, Flags]:
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


__all__ = ["OF_NET", "OF_PROBES", "OF_RECORDS", "SETTLED", "Net", "States", "inactive"]
