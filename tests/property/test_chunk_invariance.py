"""Chunk invariance: where the borders of chunks fall changes no count and no extreme, and sums by rounding only."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deeptracker.aggregate import alone, index_training, index_view
from deeptracker.aggregate.answers import (
    carry,
    image_history,
    image_parts,
    last_answers,
    merge_image_parts,
    window_counts,
)
from deeptracker.aggregate.pyramid import pyramid
from deeptracker.aggregate.reductions import REDUCTIONS, chunk, coarsen, combine, finalize
from deeptracker.testing import MemorySink, MemoryStage, simulate

NAMES = tuple(REDUCTIONS)
PLAIN = {
    "count": lambda x: np.isfinite(x).sum(),
    "sum": np.nansum,
    "min": np.nanmin,
    "max": np.nanmax,
    "mean": np.nanmean,
    "std": np.nanstd,
    "norm1": lambda x: np.nansum(np.abs(x)),
    "norm2": lambda x: np.sqrt(np.nansum(x**2)),
    "rms": lambda x: np.sqrt(np.nanmean(x**2)),
    "zero_fraction": lambda x: (x == 0).sum() / np.isfinite(x).sum(),
}
columns = hnp.arrays(
    np.float64,
    st.integers(1, 60),
    elements=st.one_of(st.just(np.nan), st.just(0.0), st.floats(-100, 100, width=32)),
)


@settings(max_examples=100, deadline=None)
@given(columns, st.lists(st.integers(0, 60), max_size=4))
def test_reductions__of_pieces_are_those_of_the_whole(values: npt.NDArray[np.float64], borders: list[int]) -> None:
    bounds = sorted({0, len(values), *(border for border in borders if border < len(values))})
    pieces = [values[a:b] for a, b in itertools.pairwise(bounds)]
    parts = chunk(pieces[0], len(pieces[0]), NAMES)
    for piece in pieces[1:]:
        parts = combine(parts, chunk(piece, len(piece), NAMES))
    for name in NAMES:
        got = float(finalize(parts, name)[0])
        if np.isnan(values).all():
            assert (got == 0) if name == "count" else np.isnan(got), name
        elif name in {"count", "min", "max"}:
            assert got == PLAIN[name](values), name
        else:
            assert got == pytest.approx(PLAIN[name](values), rel=1e-6, abs=1e-6 * max(1, np.nanmax(np.abs(values))))


@settings(max_examples=60, deadline=None)
@given(columns, st.sampled_from([2, 3, 8]), st.sampled_from([2, 4]))
def test_coarsen__equals_chunking_at_the_coarse_size(values: npt.NDArray[np.float64], size: int, factor: int) -> None:
    fine, coarse = coarsen(chunk(values, size, NAMES), factor), chunk(values, size * factor, NAMES)
    for name in NAMES:
        np.testing.assert_allclose(finalize(fine, name), finalize(coarse, name), rtol=1e-6, atol=1e-6, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 1300), st.integers(0, 2**32 - 1), st.floats(0, 0.4))
def test_pyramid__agrees_with_numpy_bin_by_bin(records: int, seed: int, holes: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((records, 2)).astype(np.float32)
    values[rng.random(values.shape) < holes] = np.nan
    for size, bins in pyramid(values).items():
        assert bins.shape == (-(-records // size), 3, 2)
        last = values[(len(bins) - 1) * size :]
        for column in range(2):
            kept = last[:, column][~np.isnan(last[:, column])].astype(np.float64)
            expected = [kept.min(), kept.mean(), kept.max()] if kept.size else [np.nan] * 3
            np.testing.assert_allclose(bins[-1, :, column], expected, rtol=1e-5, atol=1e-6)


class Chunked:
    """A run in memory whose chunks have a given length."""

    def __init__(self, sink: MemorySink, chunk: int) -> None:
        self.sink, self.chunk, self.groups, self.generation = sink, chunk, sink.groups, 0
        self.validation_sets = sink.validation_sets

    def has(self, group: str) -> bool:
        return self.sink.has(group)

    def dataset(self, group: str, *, dask: bool = False) -> xr.Dataset:
        return self.sink.dataset(group, dask=dask, chunk=self.chunk)


def _index(run: Chunked) -> dict[str, Any]:
    stage = MemoryStage("index")
    alone(index_training, run, stage)
    return {**stage.datasets, **alone(index_view, run, "validation/raw")}


def test_index__is_the_same_for_any_chunking() -> None:
    sink = MemorySink()
    simulate(sink, model="tiny", iterations=700, images=40, passes=20, classes=4, seed=5)
    whole = _index(Chunked(sink, 10_000))
    for length in (3, 64, 600):
        run = Chunked(sink, length)
        other = _index(run)
        assert other.keys() == whole.keys()
        for group, table in whole.items():
            for name, expected in table.data_vars.items():
                got = other[group][name]
                if expected.dtype.kind in "iu":
                    xr.testing.assert_equal(got, expected)
                elif "reduction" in expected.dims:
                    xr.testing.assert_equal(got.sel(reduction=["min", "max"]), expected.sel(reduction=["min", "max"]))
                np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9, err_msg=f"{group}/{name}")


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.int8, st.tuples(st.integers(2, 12), st.integers(1, 6)), elements=st.integers(-1, 1)),
    st.integers(1, 11),
    st.integers(0, 2**32 - 1),
)
def test_answers__two_windows_tell_what_one_does(correct: npt.NDArray[np.int8], border: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    border = min(border, len(correct) - 1)
    target = rng.integers(-1, 3, correct.shape[1])
    loss = rng.random(correct.shape).astype(np.float16)
    start = np.full(correct.shape[1], -1, np.int8)
    middle = carry(start, last_answers(correct[:border]))
    windows = [(correct[:border], loss[:border], start, 0), (correct[border:], loss[border:], middle, border)]
    counts = [window_counts(answers, losses, before, target, 3) for answers, losses, before, _ in windows]
    whole = window_counts(correct, loss, start, target, 3)
    for name, expected in whole.items():
        np.testing.assert_allclose(np.concatenate([one[name] for one in counts]), expected, rtol=1e-9)
    parts = [image_parts(answers, losses, before, first) for answers, losses, before, first in windows]
    got = image_history(merge_image_parts(*parts), target)
    expected_history = image_history(image_parts(correct, loss, start, 0), target)
    for name, values in expected_history.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-6, atol=1e-9, err_msg=name)
