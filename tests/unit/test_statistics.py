"""Statistics of methods §1 against plain NumPy, in float64, written out here."""

from __future__ import annotations

import numpy as np
import pytest

from deeptracker.statistics import (
    GRADIENT,
    THRESHOLDS,
    WEIGHT,
    accumulate_gradients,
    accumulate_weights,
    change_ratio_cdf,
    derive,
    histogram,
    merge,
    quartiles,
    stable_rank,
)


def accumulators(w, g, previous, initial):
    weights, gradients = np.empty((len(w), len(WEIGHT))), np.empty((len(w), len(GRADIENT)))
    accumulate_weights(w, previous.copy(), initial, weights)
    accumulate_gradients(g, gradients)
    return weights, gradients


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((6, 50)).astype(np.float32)
    w[1, :7] = 0
    g = (0.1 * rng.standard_normal(w.shape)).astype(np.float32)
    previous = (w + 1e-3 * rng.standard_normal(w.shape)).astype(np.float32)
    initial = rng.standard_normal(w.shape).astype(np.float32)
    return w, g, previous, initial


def test_standard__equals_numpy(arrays) -> None:
    w, g, p, z = (a.astype(np.float64) for a in arrays)
    out = derive(*accumulators(*arrays))
    norm = np.linalg.norm
    unit = w / norm(w, axis=1, keepdims=True), p / norm(p, axis=1, keepdims=True)
    expected = {
        "w_min": w.min(1), "w_max": w.max(1), "w_mean": w.mean(1), "w_std": w.std(1),
        "w_norm1": np.abs(w).sum(1), "w_norm2": norm(w, axis=1), "w_rms": np.sqrt((w**2).mean(1)),
        "w_zero_fraction": (w == 0).mean(1), "g_std": g.std(1), "g_norm1": np.abs(g).sum(1),
        "grad_ratio1": np.abs(g).sum(1) / np.abs(w).sum(1), "grad_ratio2": norm(g, axis=1) / norm(w, axis=1),
        "update_norm1": np.abs(w - p).sum(1), "update_norm2": norm(w - p, axis=1),
        "update_ratio1": np.abs(w - p).sum(1) / np.abs(p).sum(1),
        "update_ratio2": norm(w - p, axis=1) / norm(p, axis=1),
        "update_cosine": (w * p).sum(1) / norm(w, axis=1) / norm(p, axis=1),
        "update_angle": 2 * np.arcsin(0.5 * norm(unit[0] - unit[1], axis=1)),
        "rotation_from_init": np.arccos((w * z).sum(1) / norm(w, axis=1) / norm(z, axis=1)),
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_allclose(out[name], values, rtol=2e-6, atol=1e-9, err_msg=name)
    assert (out["nonfinite"] == 0).all()


def test_update_angle__is_right_where_a_float32_cosine_is_noise() -> None:
    rng = np.random.default_rng(1)
    w = rng.standard_normal((1, 4000))
    turned = w + 1e-5 * np.linalg.norm(w) * _orthogonal(w, rng)
    single = w.astype(np.float32), turned.astype(np.float32)
    out = derive(*accumulators(single[1], single[1], single[0], single[0]))
    assert out["update_angle"][0] == pytest.approx(1e-5, rel=0.02)


def _orthogonal(w, rng):
    v = rng.standard_normal(w.shape)
    v -= (v * w).sum() / (w * w).sum() * w
    return v / np.linalg.norm(v)


def test_nonfinite__is_counted_and_the_rest_is_of_the_finite_values(arrays) -> None:
    w, g, previous, initial = (a.copy() for a in arrays)
    w[2, 3], w[2, 4], g[2, 0] = np.nan, np.inf, -np.inf
    out = derive(*accumulators(w, g, previous, initial))
    finite = w[2][np.isfinite(w[2])].astype(np.float64)
    assert out["nonfinite"].tolist() == [0, 0, 3, 0, 0, 0]
    assert out["w_mean"][2] == pytest.approx(finite.mean(), rel=1e-6)
    assert out["w_max"][2] == finite.max().astype(np.float32)
    assert np.isfinite(out["update_norm2"][2])


def test_zero_denominator__gives_nan_not_an_epsilon() -> None:
    zero = np.zeros((1, 5), np.float32)
    out = derive(*accumulators(zero, np.ones_like(zero), zero, zero))
    assert np.isnan([out[n][0] for n in ("grad_ratio2", "update_ratio2", "update_cosine", "update_angle")]).all()
    assert out["w_norm2"][0] == 0


def test_first_record__has_no_update(arrays) -> None:
    out = derive(*accumulators(*arrays), has_previous=False)
    assert np.isnan(out["update_norm2"]).all()
    assert np.isfinite(out["w_norm2"]).all()


def test_layer__is_the_concatenation_of_its_filters(arrays) -> None:
    weights, gradients = accumulators(*arrays)
    first = np.array([0, 2])
    layers = derive(merge(weights, first, WEIGHT), merge(gradients, first, GRADIENT))
    for i, rows in enumerate((slice(0, 2), slice(2, 6))):
        whole = tuple(a[rows].reshape(1, -1) for a in arrays)
        expected = derive(*accumulators(*whole))
        for name in expected:
            np.testing.assert_allclose(layers[name][i], expected[name][0], rtol=1e-5, atol=1e-8, err_msg=name)


def test_quartiles__equal_numpy_and_leave_out_nan(arrays) -> None:
    w = arrays[0].copy()
    np.testing.assert_allclose(quartiles(w), np.quantile(w, (0.25, 0.5, 0.75), axis=1), rtol=1e-6)
    w[0, :10] = np.nan
    np.testing.assert_allclose(quartiles(w)[:, 0], np.quantile(w[0, 10:], (0.25, 0.5, 0.75)), rtol=1e-6)


def test_histogram__counts_every_finite_value_once(arrays) -> None:
    w = arrays[0].copy()
    w[0, 0] = np.nan
    assert histogram(w).sum() == w.size - 1


def test_change_ratio_cdf__is_the_share_below_each_threshold(arrays) -> None:
    w, g = arrays[:2]
    share = change_ratio_cdf(w, g)
    usable = w != 0
    for threshold in (1.0, 0.1, 0.01):
        at = int(np.flatnonzero(np.isclose(THRESHOLDS, threshold))[0])
        below = (np.abs(g[usable].astype(float) / w[usable]) <= threshold).sum() / w.size
        assert share[at] == pytest.approx(below)
    assert share[-1] == pytest.approx((w == 0).mean())
    assert (np.diff(share[:-1]) <= 0).all()


def test_stable_rank__is_one_for_rank_one_and_n_for_the_identity() -> None:
    assert stable_rank(np.outer([1, 2, 3], [1, 1]).astype(np.float32)) == pytest.approx(1, rel=1e-5)
    assert stable_rank(np.eye(4, dtype=np.float32)) == pytest.approx(4, rel=1e-5)
    assert np.isnan(stable_rank(np.zeros((2, 2), np.float32)))
