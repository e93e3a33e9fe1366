"""Distributions of blocks and the model, on two layers whose weights are known to the last one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker.aggregate import alone
from deeptracker.aggregate.distributions import index_distributions
from deeptracker.statistics import HISTOGRAM_EDGES, histogram
from deeptracker.testing import MemorySink

WEIGHTS = {"one": np.linspace(4.0, 4.4, 40, dtype=np.float32), "two": np.linspace(5.0, 5.4, 40, dtype=np.float32)}
"""All in the bin from 3.16 to 5.62: only the extremes tell them apart."""


def net() -> xr.Dataset:
    names = np.array(list(WEIGHTS), object)
    stages = np.array(["s", "s"], object)
    return xr.Dataset({"block": ("layer", names), "stage": ("layer", stages)}, {"layer": names})


def run(dense: dict[int, float], full: tuple[int, ...], lacking: tuple[str, ...] = ()) -> MemorySink:
    """Extremes recorded at the iterations of ``dense``, times a factor; histograms at those of ``full``."""
    sink = MemorySink()
    sink.put("architecture", net())
    layers = {"layer": np.array(list(WEIGHTS), object)}
    sink.coordinates("layers/dense", layers)
    sink.coordinates("layers/full", layers | {"bin": HISTOGRAM_EDGES})
    values = list(WEIGHTS.values())
    for iteration, factor in dense.items():
        row: dict[str, Any] = {
            "w_min": [factor * v.min() for v in values],
            "w_max": [factor * v.max() for v in values],
        }
        row |= {"g_min": [-factor * v.max() for v in values], "g_max": [-factor * v.min() for v in values]}
        sink.append("layers/dense", iteration, {name: np.float32(numbers) for name, numbers in row.items()})
    for iteration in full:
        counts = {
            f"{one}_hist": np.stack([histogram(sign * v) for v in values]) for one, sign in (("w", 1), ("g", -1))
        }
        for name in lacking:
            counts["w_hist"][list(WEIGHTS).index(name)] = -1
        sink.append("layers/full", iteration, counts)
    return sink


def quartiles(table: xr.Dataset, letter: str = "w") -> np.ndarray:
    return np.stack([table[f"{letter}_{name}"].values for name in ("q1", "median", "q3")], axis=-1)


def test_quartiles__lie_between_the_extremes_of_all_layers_at_the_same_iteration() -> None:
    found = alone(index_distributions, run({0: 7.0, 4: 7.0, 5: 1.0}, (5,)))
    (model,), (blocks,) = (quartiles(found[f"index/{name}_distributions"]) for name in ("model", "block"))
    np.testing.assert_allclose(model, 4.0 + 1.4 * np.array([0.25, 0.5, 0.75]), rtol=1e-5)
    np.testing.assert_allclose(blocks[0], 4.0 + 0.4 * np.array([0.25, 0.5, 0.75]), rtol=1e-5)
    np.testing.assert_allclose(blocks[1], 5.0 + 0.4 * np.array([0.25, 0.5, 0.75]), rtol=1e-5)


def test_quartiles__of_gradients_are_closed_by_those_of_gradients() -> None:
    (model,) = quartiles(alone(index_distributions, run({5: 1.0}, (5,)))["index/model_distributions"], "g")
    np.testing.assert_allclose(model, -5.4 + 1.4 * np.array([0.25, 0.5, 0.75]), rtol=1e-5)


@pytest.mark.parametrize("dense", [{0: 0.1, 9: 0.1}, {0: 0.1}, {}], ids=["around it", "before it", "never"])
def test_quartiles__where_the_extremes_were_not_recorded_are_of_the_whole_bin(dense: dict[int, float]) -> None:
    (model,) = quartiles(alone(index_distributions, run(dense, (5,)))["index/model_distributions"])
    low, high = 10**0.5, 10**0.75
    np.testing.assert_allclose(model, low + (high - low) * np.array([0.25, 0.5, 0.75]), rtol=1e-5)


def test_histograms__of_a_layer_that_was_not_recorded_count_as_nothing() -> None:
    found = alone(index_distributions, run({5: 1.0}, (5, 8), lacking=("one",)))
    assert found["index/model_distributions"]["w_hist"].sum("bin").values.tolist() == [40, 40]
    assert found["index/block_distributions"]["w_hist"].sum("bin").values.tolist() == [[0, 40], [0, 40]]
