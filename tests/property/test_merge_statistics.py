"""Accumulators merge: any split of a layer into parts gives the statistics of the whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.statistics import GRADIENT, WEIGHT, accumulate_gradients, accumulate_weights, derive, merge


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 30),
    scale=st.floats(1e-6, 1e4),
    seed=st.integers(0, 2**32 - 1),
    broken=st.integers(0, 3),
    data=st.data(),
)
def test_merge__of_any_parts_equals_the_whole(rows, columns, scale, seed, broken, data) -> None:
    rng = np.random.default_rng(seed)
    w, g, p, z = (scale * rng.standard_normal((4, rows, columns))).astype(np.float32)
    for _ in range(broken):
        w[rng.integers(rows), rng.integers(columns)] = rng.choice([np.nan, np.inf, -np.inf])
    cuts = data.draw(st.sets(st.integers(1, max(rows - 1, 1)), max_size=rows)) - {rows}
    first = np.array(sorted({0} | cuts))
    weights, gradients = np.empty((rows, len(WEIGHT))), np.empty((rows, len(GRADIENT)))
    accumulate_weights(w, p.copy(), z, weights)
    accumulate_gradients(g, gradients)
    in_parts = merge(merge(weights, first, WEIGHT), np.array([0]), WEIGHT)
    at_once = merge(weights, np.array([0]), WEIGHT)
    np.testing.assert_allclose(in_parts, at_once, rtol=1e-9, atol=1e-12 * scale**2)
    whole = np.empty((1, len(WEIGHT)))
    flat = [np.ascontiguousarray(a.reshape(1, -1)) for a in (w, p, z)]
    accumulate_weights(flat[0], flat[1].copy(), flat[2], whole)
    ours, theirs = derive(in_parts, None), derive(whole, None)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-6 * scale, err_msg=name)


def test_merge__extremes_leave_out_parts_without_finite_values() -> None:
    w = np.array([[np.nan, np.inf], [1, -3], [np.nan, np.nan]], np.float32)
    parts = np.empty((3, len(GRADIENT)))
    accumulate_gradients(w, parts)
    whole = merge(parts, np.array([0, 2]), GRADIENT)
    low, high = (whole[:, GRADIENT.index(name)].tolist() for name in ("min", "max"))
    assert (low[0], high[0]) == (-3, 1)
    assert np.isnan([low[1], high[1]]).all()
    assert whole[:, GRADIENT.index("nonfinite")].tolist() == [2, 2]
