"""Numbers as rows of pixels: what is drawn can be read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deeptracker.view.network.rasters import FOLDS, areas, fold, middle, normalised, quantiles, shares
from deeptracker.view.network.shares import stacked

HEIGHT = 24
SIGNED = hnp.arrays(np.float64, 12, elements=st.floats(-FOLDS, FOLDS))


@given(SIGNED)
def test_fold__a_value_can_be_read_off_its_column(values: Any) -> None:
    cells = fold(values, HEIGHT, signed=True).astype(int)
    level = np.rint((cells - 128) * FOLDS / 127)
    whole = np.abs(level[-1])  # the top row shows the full folds, or the last one in part
    for column, value in enumerate(values):
        size = np.abs(level[:, column])
        top = size.max()
        read = top if (size == top).all() else (top - 1) + (size == top).mean()
        assert abs(read - abs(value)) <= 1 / HEIGHT + 1e-9
        assert whole[column] <= top
        assert (np.sign(level[:, column]) * np.sign(value) >= 0).all()


def test_fold__what_is_missing_is_nothing_and_beyond_the_end_is_the_end() -> None:
    cells = fold(np.array([np.nan, 99.0, -99.0, 0.0]), HEIGHT, signed=True)
    assert [set(column) for column in cells.T.tolist()] == [{0}, {255}, {1}, {128}]
    assert set(fold(np.array([FOLDS + 1.0]), HEIGHT, signed=False).ravel()) == {255}


@given(hnp.arrays(np.float32, (6, 9), elements=st.floats(-5, 5, width=32)))
def test_quantiles__are_those_of_numpy(values: Any) -> None:
    want = np.quantile(values, [0, 0.25, 0.5, 0.75, 1], axis=1, method="nearest").T
    got = quantiles(values)
    assert got[:, [0, 4]].tolist() == want[:, [0, 4]].tolist()
    assert (np.diff(got, axis=1) >= 0).all()
    ordered = np.sort(values, axis=1)
    assert got[:, 2].tolist() == ordered[:, 4].tolist()
    values[0] = np.nan
    values[1, :5] = np.nan
    got = quantiles(values)
    assert np.isnan(got[0]).all()
    assert got[1, 4] == np.nanmax(values[1])


def test_areas__nest_and_the_median_is_darkest() -> None:
    (column,) = areas(np.array([[0.1, 0.3, 0.5, 0.7, 0.9]]), 100).T.astype(int)
    assert column[50] == 255
    assert column[40] == column[60] == 150
    assert column[15] == column[85] == 70
    assert column[2] == column[97] == 1
    assert set(areas(np.full((1, 5), np.nan), 10).ravel()) == {0}


@given(hnp.arrays(np.float64, 6, elements=st.floats(0, 1)))
def test_shares__the_height_of_each_ratio_is_its_share(cdf: Any) -> None:
    thresholds = np.array([0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    cdf = np.sort(cdf)
    cells = shares(cdf[None].astype(np.float32), thresholds, 200)[:, 0].astype(int)
    assert (np.diff(cells) >= 0).all()
    for limit in (1e-3, 1e-2, 1e-1):
        at_most = cells <= 1 + round(254 * (np.log10(limit) + 4) / 4)
        assert abs(at_most.mean() - cdf[list(thresholds).index(limit)]) <= 1 / 200 + 1e-6
    assert middle(np.array([[0.1, 0.2, 0.6, 0.7, 0.8, 1.0]], np.float32), thresholds)[0] == pytest.approx(1e-3)


def test_normalised__ranges_of_layer_filter_and_iteration() -> None:
    values = np.array([[1.0, 10.0, np.nan], [2.0, 20.0, 5.0], [3.0, 40.0, 7.0]], np.float32)
    assert normalised(values, "shared", False) is values
    by_filter = normalised(values, "filter", False)
    assert by_filter[:, 0].tolist() == [0, 0.5, 1]
    assert by_filter[1:, 2].tolist() == [0, 1]
    assert np.isnan(by_filter[0, 2])
    by_iteration = normalised(values, "iteration", False)
    assert by_iteration[0, :2].tolist() == [0, 1]
    assert by_iteration[1].tolist() == pytest.approx([0, 1, 3 / 18])
    layer = normalised(values, "layer", True)
    assert np.nanmin(layer) == 0
    assert layer[0, 1] == pytest.approx(np.log(10) / np.log(40))
    assert np.isnan(normalised(np.full((2, 2), np.nan, np.float32), "filter", False)).all()


@given(hnp.arrays(np.float64, 5, elements=st.floats(0.01, 1)))
def test_stacked__each_layer_takes_its_share_of_the_height(sizes: Any) -> None:
    share = sizes / sizes.sum()
    cells = stacked(share[None], 300)[:, 0]
    for layer in range(5):
        assert abs((cells == layer + 1).mean() - share[layer]) <= 1 / 300 + 1e-9
    assert cells[-1] == 1  # rows are drawn from the bottom: the first layer is the last row
    assert set(stacked(np.full((1, 5), np.nan)).ravel()) == {0}
