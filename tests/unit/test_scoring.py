"""Stored scores of a run in which single filters, a skipped step and a loss were planted: each says what it must."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import growing
import numpy as np
import pytest
import xarray as xr

from deeptracker import Run, analyze
from deeptracker.schema.derived import SIGNALS
from deeptracker.testing import simulate

RECORDS = 620
ROSE, FELL, SKIPPED, LOSS, DEAD = 500, 530, 550, 570, 450
UP, DOWN, HIDDEN, SILENT = 20, 30, 34, [45, 46]  # filters
UPDATES = tuple(SIGNALS.index(name) for name in ("update_angle", "update_ratio2"))


class Planted(growing.Part):
    """At ``ROSE`` filter ``UP`` turns too far, at ``FELL`` ``DOWN`` too little; ``SILENT`` are dead from ``DEAD`` on.

    At ``SKIPPED`` no step was taken, and ``HIDDEN`` seems to turn; at ``LOSS`` the loss is high.
    """

    def append(self, group: str, position: int, row: Mapping[str, Any]) -> None:
        row = {name: np.array(value) for name, value in row.items()}
        if group == "filters/dense":
            turned = {ROSE: (UP, 40), FELL: (DOWN, 1 / 40), SKIPPED: (HIDDEN, 1000)}
            if position in turned:
                place, factor = turned[position]
                row["update_angle"][place] *= factor
            if position >= DEAD:
                row["g_norm2"][SILENT] = 0
        if group == "scalars":
            row["step_skipped"] = np.int8(position == SKIPPED)
            row["loss"] = row["loss"] * (30 if position == LOSS else 1)
        super().append(group, position, row)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path: Path = tmp_path_factory.mktemp("planted") / "run"
    simulate(Planted(path, 0, RECORDS, None), model="tiny", iterations=2 * RECORDS, seed=3, anomalies=False)
    return analyze(path, stages=["anomalies"])


@pytest.fixture(scope="module")
def filters(run: Run) -> xr.Dataset:
    return run.dataset("anomalies/filters").load()


@pytest.fixture(scope="module")
def levels(run: Run) -> xr.Dataset:
    return run.dataset("anomalies/iterations").load()


def test_score__has_the_sign_of_the_move(filters: xr.Dataset) -> None:
    for record, place, sign in ((ROSE, UP, 1), (FELL, DOWN, -1)):
        assert sign * filters["filter_score"].values[record, place] > 10
        assert filters["filter_signal"].values[record, place] == SIGNALS.index("update_angle")


@pytest.mark.parametrize("kind", ["filter", "layer"])
def test_excess__is_the_score_over_the_level_of_its_signal(run: Run, levels: xr.Dataset, kind: str) -> None:
    found = run.dataset(f"anomalies/{kind}s")
    score, signal, excess = (found[f"{kind}_{name}"].values for name in ("score", "signal", "excess"))
    level = levels[f"{kind}_level"].values
    assert np.isnan(level[:300]).all()
    assert np.isfinite(level[400:, 0]).all()
    there = signal >= 0
    np.testing.assert_array_equal(there, np.isfinite(score))
    record = np.nonzero(there)[0]
    np.testing.assert_allclose(excess[there], np.abs(score[there]) / level[record, signal[there]], rtol=1e-5)


@pytest.mark.parametrize("kind", ["filter", "layer"])
def test_maxima__are_the_largest_scores_of_the_record(run: Run, levels: xr.Dataset, kind: str) -> None:
    found = run.dataset(f"anomalies/{kind}s")
    score, signal = (found[f"{kind}_{name}"].values for name in ("score", "signal"))
    for number in range(len(SIGNALS)):
        most = np.where(signal == number, np.abs(score), 0).max(1)
        top = np.nan_to_num(levels[f"{kind}_maximum"].values[:, number])
        assert (most <= top).all()
    largest = np.nanmax(levels[f"{kind}_maximum"].values[200:], axis=1)
    uncalibrated = slice(0, 100)  # records from 200 on without a level: the strongest is the largest
    np.testing.assert_array_equal(np.nanmax(np.abs(score[200:]), axis=1)[uncalibrated], largest[uncalibrated])


def test_iteration_score__is_the_largest_excess_of_filters_layers_and_model(
    run: Run, filters: xr.Dataset, levels: xr.Dataset
) -> None:
    layers = run.dataset("anomalies/layers")["layer_excess"].values
    model = np.abs(levels["model_score"].values) / levels["model_level"].values
    every = [np.fmax.reduce(part, axis=1) for part in (filters["filter_excess"].values, layers, model)]
    np.testing.assert_allclose(levels["iteration_score"].values, np.fmax.reduce(every), rtol=1e-5)
    assert [int(np.nanargmax([part[at] for part in every])) for at in (ROSE, LOSS)] == [0, 2]


def test_step_that_was_skipped__has_no_scores_of_updates(filters: xr.Dataset) -> None:
    signals = filters["filter_signal"].values
    assert not np.isin(signals[SKIPPED], UPDATES).any()
    assert np.isin(signals[SKIPPED - 1], UPDATES).any()
    assert np.isin(signals[SKIPPED + 1], UPDATES).any()


def test_filter_that_is_dead__has_no_scores_after_its_first_such_record(run: Run, filters: xr.Dataset) -> None:
    states = run.dataset("anomalies/states").sel(state="dead")
    assert np.flatnonzero(states["onset"].values >= 0).tolist() == SILENT
    assert states["onset"].values[SILENT].tolist() == [DEAD, DEAD]
    known = np.isfinite(filters["filter_score"].values[:, SILENT])
    assert known[DEAD - 5 : DEAD + 1].all()
    assert not known[DEAD + 1 :].any()


def test_events__name_the_filters_the_loss_and_what_died(run: Run) -> None:
    told = {event["iteration"]: event for event in run.event_documents() if event["kind"] == "anomaly"}
    assert set(told) == {ROSE, FELL, LOSS, DEAD}
    for record, place in ((ROSE, UP), (FELL, DOWN)):
        (named,) = told[record]["filters"]
        layer = run.dataset("architecture")["layer"].values.tolist().index(named["layer"])
        assert int(run.dataset("architecture")["first_filter"].values[layer]) + named["channel"] == place
    assert told[DEAD]["cause"] == "dead-filters"
