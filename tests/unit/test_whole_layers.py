"""A layer that stands still as a whole is frozen, one without any gradient dead; one filter alone is no alarm."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from deeptracker.detect.alarms import state_alarms
from deeptracker.detect.states import Net, States
from deeptracker.schema.derived import STATES

RECORDS, STOPS = 100, 60
LAYER = np.array([0, 0, 1, 1])
ROW = {name: n for n, name in enumerate(("dead", "frozen", "exploding", "non-finite", "saturated"))}


def values() -> dict[str, np.ndarray]:
    ones = np.ones((RECORDS, len(LAYER)), np.float32)
    return {"g_norm2": ones.copy(), "update_norm2": ones.copy(), "w_rms": ones, "nonfinite": 0 * ones}


def found(told: dict[str, np.ndarray], net: Net | None = None, window: int = RECORDS) -> dict[str, list[int]]:
    net = Net(np.ones(RECORDS, bool), np.ones(RECORDS, bool)) if net is None else net
    states = States(LAYER, ["ReLU", "ReLU"])
    for start in range(0, RECORDS, window):
        stop = min(start + window, RECORDS)
        part = {name: of[start:stop] for name, of in told.items()}
        states.see(part, np.arange(start, stop), net.part(start, stop))
    onset = states.found()["onset"].values
    return {name: onset[row].tolist() for name, row in ROW.items()}


@pytest.mark.parametrize("window", [RECORDS, 7, 61])
def test_layer__without_updates_is_frozen_from_the_first_such_record(window: int) -> None:
    told = values()
    told["update_norm2"][STOPS:, 2:] = 0
    told["g_norm2"][STOPS:, 2:] = np.nan  # the optimizer passes it by
    assert found(told, window=window)["frozen"] == [-1, -1, STOPS, STOPS]


@pytest.mark.parametrize("window", [RECORDS, 7, 61])
def test_layer__without_gradient_is_dead_where_the_net_has_one(window: int) -> None:
    told = values()
    told["g_norm2"][STOPS:, 2:] = 0
    assert found(told, window=window)["dead"] == [-1, -1, STOPS, STOPS]
    nothing = Net(np.arange(RECORDS) < STOPS, np.ones(RECORDS, bool))
    assert found(told, nothing, window)["dead"] == [-1] * 4


def test_layer__that_was_never_trained_is_neither() -> None:
    told = values()
    told["update_norm2"][:, 2:] = 0
    told["g_norm2"][:, 2:] = 0
    assert found(told)["frozen"] == found(told)["dead"] == [-1] * 4


def test_net__that_makes_no_steps_freezes_nothing() -> None:
    told = values()
    told["update_norm2"][STOPS:] = 0
    resting = Net(np.ones(RECORDS, bool), np.arange(RECORDS) < STOPS)
    assert found(told, resting)["frozen"] == [-1] * 4
    assert found(told)["frozen"] == [STOPS] * 4


def alarms(state: str, size: int, members: int) -> int:
    """How many alarms so many filters of a layer raise that enter a state at once."""
    onset = np.full((len(STATES), size), -1)
    onset[STATES.index(state), :members] = 70
    states = xr.Dataset({"onset": (("state", "filter"), onset), "end": (("state", "filter"), 0 * onset - 1)})
    told = SimpleNamespace(states=states, iteration=np.arange(RECORDS))
    return len(state_alarms(told, np.zeros(size, np.int64)))


@pytest.mark.parametrize(("size", "least"), [(8, 2), (32, 2), (64, 4), (512, 26)])
def test_filters__that_die_alone_raise_no_alarm(size: int, least: int) -> None:
    assert [alarms("dead", size, count) for count in (least - 1, least)] == [0, 1]
    assert alarms("frozen", size, 1) == alarms("non-finite", size, 1) == 1
