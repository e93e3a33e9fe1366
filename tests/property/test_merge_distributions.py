"""The quantile sketch of the hierarchy: sums of histograms are those of the concatenated weights, in any cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.aggregate.distributions import merge_histograms, quartiles
from deeptracker.aggregate.reductions import PARTS, coarsen
from deeptracker.statistics import HISTOGRAM_EDGES, histogram

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def weights(sizes: list[int], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 10.0 ** rng.uniform(-9, 3)).astype(np.float32) for n in sizes]


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(0, 9), st.integers(1, 3))
def test_histograms__of_groups_are_those_of_their_concatenated_weights(
    sizes: list[int], seed: int, groups: int
) -> None:
    layers = weights(sizes, seed)
    group = np.arange(len(layers)) % groups
    counts = np.stack([histogram(layer) for layer in layers])[None]
    merged = merge_histograms(counts, group, groups)
    for number in range(groups):
        members = [layer for layer, target in zip(layers, group, strict=True) if target == number]
        together = np.concatenate([np.empty(0, np.float32), *members])
        np.testing.assert_array_equal(merged[0, number], histogram(together))
    whole = merge_histograms(merged, np.zeros(groups, int), 1)  # blocks into the model
    np.testing.assert_array_equal(whole[0, 0], histogram(np.concatenate(layers)))


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(0, 9))
def test_quartiles__lie_in_the_bin_of_the_exact_ones(sizes: list[int], seed: int) -> None:
    layers = weights(sizes, seed)
    values = np.sort(np.concatenate(layers))
    counts = np.stack([histogram(layer) for layer in layers])[None]
    merged = merge_histograms(counts, np.zeros(len(layers), int), 1)
    found = quartiles(merged, values[:1][None].astype(float), values[-1:][None].astype(float))[0, 0]
    edges = np.append(HISTOGRAM_EDGES, np.inf)
    for share, told in zip((0.25, 0.5, 0.75), found, strict=True):
        exact = values[int(np.ceil(share * len(values))) - 1]
        place = int(np.searchsorted(edges, exact, side="right")) - 1
        low, high = np.clip(edges[place : place + 2], values[0], values[-1])
        assert np.float32(low) <= told <= np.float32(high)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 7), st.integers(0, 9))
def test_histogram_as_a_part__counts_bins_of_records_in_any_cut(records: int, factor: int, seed: int) -> None:
    values = np.concatenate(weights([records], seed)).reshape(-1, 1)
    padded = np.full((-(-records // factor) * factor, 1), np.nan, np.float32)
    padded[:records] = values
    one = PARTS["histogram"].chunk(padded[:, None], None)  # every record by itself
    bins = coarsen({"histogram": one}, factor)["histogram"]
    for number in range(len(bins)):
        piece = values[number * factor : (number + 1) * factor, 0]
        np.testing.assert_array_equal(bins[number, 0], histogram(piece))
