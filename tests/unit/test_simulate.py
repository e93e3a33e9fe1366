"""The simulator: numbers that fit together, and a truth that only the caller knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker.errors import DeepTrackerError, InputError
from deeptracker.schema import group_of
from deeptracker.sink import Sink
from deeptracker.store import open_run
from deeptracker.testing import MemorySink, simulate


@pytest.fixture(scope="module")
def run() -> tuple[MemorySink, dict[str, Any]]:
    sink = MemorySink()
    truth = simulate(sink, model="tiny", iterations=400, images=120, passes=40, classes=4, seed=3, thumbnails=True)
    return sink, truth


def test_memory_sink__is_a_sink() -> None:
    assert isinstance(MemorySink(), Sink)


def test_memory_sink__refuses_a_row_that_does_not_lie_past_the_last() -> None:
    sink = MemorySink()
    sink.append("layers/dense", 5, {"w_norm2": np.ones(2)})
    with pytest.raises(InputError, match="does not lie past"):
        sink.append("layers/dense", 5, {"w_norm2": np.ones(2)})


def test_memory_sink__cuts_and_goes_on() -> None:
    sink = MemorySink()
    for position in (0, 1, 2):
        sink.append("layers/dense", position, {"w_norm2": np.ones(2) * position})
    sink.cut(1)
    assert sink.last("layers/dense") == 0
    sink.append("layers/dense", 1, {"w_norm2": np.zeros(2)})
    assert sink.dataset("layers/dense").iteration.values.tolist() == [0, 1]


@pytest.mark.parametrize(
    "group",
    [
        "architecture", "scalars", "filters/dense", "layers/dense", "filters/full", "layers/full",
        "filters/probe", "layers/probe", "images/validation", "validation/validation/raw",
    ],
)  # fmt: skip
def test_simulate__fills_every_variable_of_the_schema(run: tuple[MemorySink, dict[str, Any]], group: str) -> None:
    table, declared = run[0].dataset(group), group_of(group)
    assert declared is not None
    names = {variable.name for variable in declared.variables if not variable.optional}
    assert names <= set(table.data_vars)
    for name in names:
        assert table[name].dims == declared[name].dims, name
        if declared[name].dtype != "str":
            assert table[name].dtype == np.dtype(declared[name].dtype), name


def test_simulate__norms_ratios_and_angles_fit_together(run: tuple[MemorySink, dict[str, Any]]) -> None:
    filters = run[0].dataset("filters/dense")
    norm, before = filters.w_norm2[1:].values.astype(float), filters.w_norm2[:-1].values.astype(float)
    update = filters.update_norm2[1:].values
    np.testing.assert_allclose(update / before, filters.update_ratio2[1:], rtol=1e-4)
    np.testing.assert_allclose(filters.g_norm2 / filters.w_norm2, filters.grad_ratio2, rtol=1e-4)
    assert (np.abs(norm - before) <= update * (1 + 1e-3) + 1e-6).all()
    assert np.isnan(filters.update_angle[0]).all()


def test_simulate__layers_are_the_merge_of_their_filters(run: tuple[MemorySink, dict[str, Any]]) -> None:
    filters, layers = run[0].dataset("filters/dense"), run[0].dataset("layers/dense")
    squares = (filters.w_norm2.astype("f8") ** 2).groupby("layer").sum().sel(layer=layers.layer)
    xr.testing.assert_allclose(np.sqrt(squares), layers.w_norm2.astype("f8"), rtol=1e-5)
    low = filters.w_min.groupby("layer").min().sel(layer=layers.layer)
    np.testing.assert_array_equal(low.values, layers.w_min.values)


def test_simulate__planted_filters_stand_out_at_their_iteration(run: tuple[MemorySink, dict[str, Any]]) -> None:
    sink, truth = run
    planted = next(one for one in truth["anomalies"] if one["kind"] == "filters")
    ratio = np.log(sink.dataset("filters/dense").grad_ratio2)
    typical = ratio.median("iteration").isel(filter=planted["filters"])
    struck = ratio.sel(iteration=planted["iteration"]).isel(filter=planted["filters"])
    assert (struck.values - typical.values > 1).all()


def test_simulate__answers_get_better_and_still_flip(run: tuple[MemorySink, dict[str, Any]]) -> None:
    correct = run[0].dataset("validation/validation/raw").correct.astype(float)
    accuracy = correct.mean("image").values
    assert accuracy[-10:].mean() > accuracy[:5].mean() + 0.2
    assert 0.001 < np.abs(np.diff(correct.values, axis=0)).mean() < 0.4


def test_simulate__gives_the_same_run_for_the_same_seed() -> None:
    one, other = MemorySink(), MemorySink()
    for sink in (one, other):
        simulate(sink, model="tiny", iterations=30, images=20, passes=3, seed=7)
    for group in ("layers/dense", "validation/validation/raw"):
        xr.testing.assert_identical(one.dataset(group), other.dataset(group))


def test_simulate__records_only_every_nth_iteration() -> None:
    sink = MemorySink()
    simulate(sink, model="tiny", iterations=50, every=10)
    assert sink.dataset("layers/dense").iteration.values.tolist() == [0, 10, 20, 30, 40]
    assert sink.dataset("layers/dense").steps.values.tolist() == [-1, 10, 10, 10, 10]
    assert sink.dataset("scalars").sizes["iteration"] == 50
    assert not sink.validation_sets


def test_simulate__names_a_size_or_a_seed_that_is_too_small() -> None:
    with pytest.raises(InputError, match="iterations=0"):
        simulate(MemorySink(), iterations=0)
    with pytest.raises(InputError, match="seed=-1, but at least 0"):
        simulate(MemorySink(), iterations=1, seed=-1)
    with pytest.raises(InputError, match="unknown model 'vgg'"):
        simulate(MemorySink(), model="vgg", iterations=1)


def test_simulate__store_gives_back_what_memory_holds(tmp_path: Path) -> None:
    sink = MemorySink()
    for where in (sink, tmp_path / "run"):
        simulate(where, model="tiny", iterations=60, images=20, passes=6, seed=7)
    run = open_run(tmp_path / "run")
    for group in ("layers/dense", "filters/dense", "layers/full", "filters/probe", "validation/validation/raw"):
        stored, kept = run.dataset(group).load(), sink.dataset(group)
        assert set(stored.data_vars) == set(kept.data_vars)
        for name in kept.data_vars:
            np.testing.assert_array_equal(stored[name].values, kept[name].values, err_msg=f"{group}/{name}")
    with pytest.raises(DeepTrackerError):
        simulate(tmp_path / "run", model="tiny", iterations=5)
