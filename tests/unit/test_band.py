"""The band on top: what time counts, how the loss is smoothed, what a click on it does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker.app.explorer import Explorer
from deeptracker.store import Run
from deeptracker.view.band.curves import smoothed
from deeptracker.view.clock import Clock


class Scalars:
    """A run of nothing but scalars."""

    def __init__(self, **series: Any) -> None:
        iteration = np.arange(len(next(iter(series.values())))) * 10
        self.data = xr.Dataset({n: ("iteration", np.asarray(v, float)) for n, v in series.items()})
        self.data = self.data.assign_coords(iteration=iteration)
        self.validation_sets: tuple[str, ...] = ()

    def has(self, group: str) -> bool:
        return group == "scalars"

    def dataset(self, group: str) -> Any:
        return self.data


def line(clock: Clock) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return np.asarray(clock.line.data["x"], float), np.asarray(clock.line.data["y"], float)


def test_clock__counts_what_the_run_knows() -> None:
    epochs = np.repeat(np.arange(20), 5)
    clock = Clock(Scalars(epoch=epochs, wall_time=1e9 + np.arange(100) ** 1.5), 0, 990)
    assert clock.kinds() == ["iteration", "epoch", "time"]
    clock.use("time")
    x, y = line(clock)
    assert np.interp(500, x, y) == pytest.approx(50**1.5)
    clock.use("epoch")
    assert np.interp(500, *line(clock)) == 10
    clock.use("samples")
    assert clock.shown == "iteration"
    assert np.interp(123.0, *line(clock)) == 123


def test_clock__never_runs_backwards() -> None:
    """A clock that was set back, and a step without a time."""
    wall = 1e9 + np.arange(100.0)
    wall[40:] -= 30
    wall[70] = np.nan
    clock = Clock(Scalars(wall_time=wall), -5, 1200)
    clock.use("time")
    x, y = line(clock)
    assert np.all(np.diff(y) >= 0)
    assert np.all(np.diff(x) > 0)
    assert x[0] <= -5
    assert x[-1] >= 1200


def test_clock__of_a_run_without_time_counts_iterations() -> None:
    assert Clock(Scalars(loss=np.ones(5)), 0, 9).kinds() == ["iteration"]
    assert Clock(Scalars(wall_time=np.full(5, 7.0)), 0, 9).kinds() == ["iteration"]


def test_smoothed__is_the_moving_average_without_its_bias() -> None:
    loss = np.r_[3.0, np.nan, 1.0, 5.0, 2.0]
    at, values = smoothed(Scalars(loss=loss), 0.6)
    total = weight = 0.0
    expected = []
    for one in loss:
        if np.isfinite(one):
            total, weight = 0.6 * total + 0.4 * one, 0.6 * weight + 0.4
        expected.append(total / weight)
    assert at.tolist() == [0, 10, 20, 30, 40]
    assert values == pytest.approx(expected)


def test_band__a_click_on_a_mark_opens_its_event_and_elsewhere_pins_and_frees(analysed: Run) -> None:
    explorer = Explorer(analysed)
    band, state = explorer.band, explorer.state
    lane, curves = band.overview.lane, band.overview.curves
    band._tap(SimpleNamespace(x=201.0, model=lane))
    assert (state.event, state.layers) == (1, ["layer2.0.conv1"])
    band._tap(SimpleNamespace(x=201.4, model=curves))
    assert state.pins == [201]
    assert band.timeline.pins == (201,)
    assert 201 in band.timeline.lines.data["x"]
    band._tap(SimpleNamespace(x=250.6, model=lane))
    assert state.pins == [201, 251]
    band._tap(SimpleNamespace(x=200.9, model=curves))
    assert state.pins == [251]


def test_band__the_curves_follow_the_state(analysed: Run) -> None:
    explorer = Explorer(analysed, {"smooth": [b"0.9"], "loss": [b"linear"], "axis": [b"time"], "pins": [b"7"]})
    assert len([r for r in explorer.band.overview.curves.renderers if type(r.glyph).__name__ == "Line"]) == 3
    assert explorer.timeline.pins == (7,)
    before = explorer.band.overview.curves
    explorer.state.smooth = "0"
    assert explorer.band.overview.curves is not before
    assert explorer.band.layout.children[1] is explorer.band.overview.curves
