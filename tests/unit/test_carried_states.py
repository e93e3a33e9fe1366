"""States of an earlier analysis, carried over the records that were thinned since."""

from __future__ import annotations

import numpy as np
import xarray as xr

from deeptracker.detect.carried import carry_states
from deeptracker.detect.episodes import Episodes
from deeptracker.schema.derived import STATES


def _states(**known: list[int]) -> xr.Dataset:
    onset, end = np.full((2, len(STATES), 3), -1, np.int64)
    for name, values in known.items():
        (onset if name.startswith("onset") else end)[STATES.index(name.split("_")[1])] = values
    return xr.Dataset(
        {"onset": (("state", "filter"), onset), "end": (("state", "filter"), end)}, {"state": list(STATES)}
    )


def _seen(iteration: np.ndarray, **flags: np.ndarray) -> dict[str, Episodes]:
    """What records, or the probe, saw of some states; nothing of others."""
    out = {state: Episodes(3, 1, 150) for state in STATES}
    for state, episodes in out.items():
        episodes.see(flags.get(state, np.zeros((len(iteration), 3), bool)), iteration)
    return out


def test_states__that_lasted_go_on_and_others_stay_as_they_were() -> None:
    dead = np.zeros((100, 3), bool)
    dead[:70, 0] = True  # in it at the frontier, out of it at 170
    dead[:, 1] = True  # in it to the end
    dead[:10, 2] = True  # was out of it before the frontier
    before = _states(onset_dead=[20, 30, 40], end_dead=[-1, -1, 110])
    found = _states(onset_dead=[100, 100, 100], end_dead=[170, -1, 110])
    out = carry_states(found, before, 150, [_seen(np.arange(100, 200), dead=dead)])
    assert out["onset"].sel(state="dead").values.tolist() == [20, 30, 40]
    assert out["end"].sel(state="dead").values.tolist() == [170, -1, 110]
    assert (out["onset"].sel(state="frozen").values == -1).all()


def test_states__told_by_the_probe_go_on_by_the_probe() -> None:
    dead = np.ones((10, 3), bool)
    dead[8:, 0] = False
    before = _states(onset_dead=[20, 30, -1], end_dead=[-1, -1, -1])
    probe = _seen(np.arange(100, 200, 10), dead=dead)
    out = carry_states(_states(), before, 150, [_seen(np.arange(100, 200)), probe])
    assert out["onset"].sel(state="dead").values.tolist() == [20, 30, -1]
    assert out["end"].sel(state="dead").values.tolist() == [180, -1, -1]


def test_states__that_begin_after_the_frontier_are_found_anew() -> None:
    found = _states(onset_frozen=[160, 120, -1], end_frozen=[-1, 140, -1])
    out = carry_states(found, _states(), 150, [_seen(np.arange(100, 200))])
    assert out["onset"].sel(state="frozen").values.tolist() == [160, -1, -1]
