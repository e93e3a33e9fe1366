"""Statistics of methods §1 on any float32 (zeros, subnormal and huge values, NaN, ±Inf) against plain NumPy."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.statistics import (
    GRADIENT,
    HISTOGRAM_EDGES,
    THRESHOLDS,
    WEIGHT,
    accumulate_gradients,
    accumulate_weights,
    change_ratio_cdf,
    derive,
    histogram,
    histogram_quartiles,
    quartiles,
)

SIZES = st.sampled_from([1, 2, 3, 5, 16, 31, 100, 511, 512, 700, 1023, 1024, 1025, 2600])
LARGEST = np.finfo(np.float32).max
SPECIAL = np.array([0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-40, LARGEST, -LARGEST, 1e-8, 1e2], np.float32)
KINDS = ("normal", "bits", "tiny", "huge", "mostly zero", "constant", "non-finite", "outlier", "edges")
TOLERANCES = {"mean": 1e-12, "std": 1e-7}  # of the root mean square
ROWS = st.tuples(st.integers(1, 3), SIZES, st.sampled_from(KINDS), st.integers(0, 8), st.integers(0, 2**32 - 1))


def numbers(rows, size, kind, specials, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    values = (scale * rng.standard_normal((rows, size))).astype(np.float32)
    if kind == "bits":
        values = rng.integers(0, 2**32, (rows, size), dtype=np.uint32).view(np.float32)
    elif kind == "tiny":
        values *= np.float32(1e-42)
    elif kind == "huge":
        values = np.clip(values, -3, 3) * np.float32(1.1e38)
    elif kind == "mostly zero":
        values[rng.random(values.shape) < 0.9] = 0
    elif kind == "constant":
        values[:] = values[:, :1]
    elif kind == "non-finite":
        values[:] = rng.choice(SPECIAL[2:5], values.shape)
    elif kind == "outlier":
        values[:, 0] = 1e30
    elif kind == "edges":
        values = rng.choice(HISTOGRAM_EDGES[1:], values.shape).astype(np.float32)
    for _ in range(specials):
        values[rng.integers(rows), rng.integers(size)] = rng.choice(SPECIAL)
    return values


def accumulators(w, g, previous, initial):
    weights, gradients = np.empty((len(w), len(WEIGHT))), np.empty((len(w), len(GRADIENT)))
    accumulate_weights(w, previous, initial, weights)
    accumulate_gradients(g, gradients)
    return weights, gradients


def divide(top, bottom):
    return top / bottom if bottom else math.nan


def angle(a, b):
    """By the distance of unit vectors, in extended precision."""
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    norm, other = np.sqrt((a * a).sum()), np.sqrt((b * b).sum())
    if not norm or not other:
        return math.nan
    return float(2 * np.arcsin(min(np.sqrt(((a / norm - b / other) ** 2).sum()) / 2, np.longdouble(1))))


def moments(letter, row):
    finite = row[np.isfinite(row)].astype(np.float64)
    zeros = float((row == 0).mean())
    if not len(finite):
        names = ("min", "max", "mean", "std", "norm1", "norm2", "rms")
        return {f"{letter}_{name}": math.nan for name in names} | {f"{letter}_zero_fraction": zeros}
    mean = math.fsum(finite) / len(finite)
    square = math.fsum(finite**2)
    return {
        f"{letter}_min": finite.min(), f"{letter}_max": finite.max(), f"{letter}_mean": mean,
        f"{letter}_std": math.sqrt(math.fsum((finite - mean) ** 2) / len(finite)),
        f"{letter}_norm1": math.fsum(abs(finite)), f"{letter}_norm2": math.sqrt(square),
        f"{letter}_rms": math.sqrt(square / len(finite)), f"{letter}_zero_fraction": zeros,
    }  # fmt: skip


def plain(w, g, p, z):
    """The standard set of one filter."""
    out = moments("w", w) | moments("g", g)
    out["nonfinite"] = int((~np.isfinite(w)).sum() + (~np.isfinite(g)).sum())
    out["grad_ratio1"] = divide(out["g_norm1"], out["w_norm1"])
    out["grad_ratio2"] = divide(out["g_norm2"], out["w_norm2"])
    both = np.isfinite(w) & np.isfinite(p)
    a, b = w[both].astype(np.float64), p[both].astype(np.float64)
    norm, other = math.sqrt(math.fsum(a * a)), math.sqrt(math.fsum(b * b))
    # Accumulators cannot tell nothing in common from nothing but zeros in common: NaN, unless all of w is zero.
    known = a.any() or b.any() or (np.isfinite(w).any() and not w[np.isfinite(w)].any())
    out["update_norm1"] = math.fsum(abs(a - b)) if known else math.nan
    out["update_norm2"] = math.sqrt(math.fsum((a - b) ** 2)) if known else math.nan
    out["update_ratio1"] = divide(out["update_norm1"], math.fsum(abs(b)))
    out["update_ratio2"] = divide(out["update_norm2"], other)
    out["update_cosine"] = divide(math.fsum(a * b), norm * other)
    out["update_angle"] = angle(a, b)
    both = np.isfinite(w) & np.isfinite(z)
    out["rotation_from_init"] = angle(w[both], z[both])
    return out, (norm, other, math.sqrt(math.fsum(z[both].astype(np.float64) ** 2)))


def spread(norm, other):
    """How far the two lengths are apart, as a factor."""
    if not norm or not other:
        return math.inf if norm or other else 1.0
    return max(norm, other) / min(norm, other)


def same(found, value, tolerance):
    """Whether a float32 is a float64 up to rounding, or within a tolerance of it; NaN is NaN."""
    with np.errstate(over="ignore"):
        if math.isnan(value) or found == np.float32(value):
            return math.isnan(value) == math.isnan(found)
    return abs(float(found) - value) <= max(1e-6 * abs(value), tolerance, 2e-45)


def beside(w, kind, specials, seed):
    """Other values of the same shape; ``close``: a small step from ``w``."""
    if kind != "close":
        return numbers(*w.shape, kind, specials, seed)
    near = np.clip(np.nan_to_num(w, nan=1), -1e38, 1e38)
    return near + np.float32(1e-3) * near[:, ::-1]


@settings(deadline=None, max_examples=150)
@given(
    shape=ROWS,
    kinds=st.tuples(*[st.sampled_from((*KINDS, "close", "close"))] * 3),
    specials=st.tuples(*[st.integers(0, 8)] * 3),
)
def test_standard_set__equals_plain_numpy(shape, kinds, specials) -> None:
    w = numbers(*shape)
    g, p, z = (beside(w, kinds[i], specials[i], shape[-1] + i + 1) for i in range(3))
    z = np.nan_to_num(z, nan=1)  # rotation is defined from finite weights
    kept = p.copy()
    out = derive(*accumulators(w, g, kept, z))
    np.testing.assert_array_equal(kept.view(np.int32), w.view(np.int32), err_msg="previous weights")
    for row in range(len(w)):
        expected, (norm, before, start) = plain(w[row], g[row], p[row], z[row])
        assert set(expected) == set(out)
        lengths = {"update_angle": (norm, before), "rotation_from_init": (expected["w_norm2"], start)}
        lengths["update_cosine"] = norm, before
        left_out = (np.isfinite(w[row]) & ~np.isfinite(p[row])).any()
        tolerances = {f"{x}_{name}": t * expected[f"{x}_rms"] for x in "wg" for name, t in TOLERANCES.items()}
        tolerances |= {"update_cosine": 1e-7, "update_angle": 1e-5, "rotation_from_init": 1e-5}
        for name, value in expected.items():
            alike = lengths.get(name, (1, 1))
            if spread(*alike) <= (10 if left_out else 100) or (0 in alike and not left_out):
                assert same(out[name][row], value, tolerances.get(name, 0)), (name, row, out[name][row], value)


@settings(deadline=None, max_examples=60)
@given(shape=ROWS, exponent=st.floats(-7, 0.5), growth=st.floats(0.02, 50), zero=st.floats(0, 0.9))
def test_update_angle__is_right_to_a_hundred_thousandth_of_a_radian(shape, exponent, growth, zero) -> None:
    rng = np.random.default_rng(shape[-1])
    p = rng.standard_normal((1, 4 * shape[1])).astype(np.float32)
    p[rng.random(p.shape) < zero] = 0
    w = (growth * (p + 10**exponent * rng.standard_normal(p.shape))).astype(np.float32)
    out = derive(*accumulators(w, w, p.copy(), p))
    wanted = angle(w[0], p[0])
    for name in ("update_angle", "rotation_from_init"):
        np.testing.assert_allclose(out[name][0], wanted, atol=1e-5, rtol=1e-6, err_msg=name)


@settings(deadline=None, max_examples=150)
@given(shape=ROWS)
def test_quartiles__equal_numpy_of_the_finite_values(shape) -> None:
    values = numbers(*shape)
    out = quartiles(values)
    for row, found in zip(values, out.T, strict=True):
        finite = row[np.isfinite(row)].astype(np.float64)
        wanted = np.quantile(finite, (0.25, 0.5, 0.75)) if len(finite) else np.full(3, np.nan)
        scale = abs(finite).max() if len(finite) else 0
        np.testing.assert_allclose(found, wanted.astype(np.float32), rtol=1e-6, atol=1e-15 * scale)


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(512, 3000),
    power=st.sampled_from([0.3, 1, 3]),
    crowd=st.sampled_from([0, 0, 0.02, 0.2, 0.6]),
    seed=st.integers(0, 2**32 - 1),
)
def test_quartiles__of_long_rows_equal_numpy_however_values_crowd(size, power, crowd, seed) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((6, size))
    values = (np.sign(values) * np.abs(values) ** power).astype(np.float32)
    values[rng.random(values.shape) < crowd] = values[0, 0]
    wanted = np.quantile(values.astype(np.float64), (0.25, 0.5, 0.75), axis=1)
    np.testing.assert_allclose(quartiles(values), wanted.astype(np.float32), rtol=1e-6)


@settings(deadline=None, max_examples=150)
@given(shape=ROWS)
def test_histogram__counts_each_finite_value_in_the_bin_at_or_below_it(shape) -> None:
    values = numbers(*shape)
    finite = values[np.isfinite(values)].astype(np.float64)
    wanted = [
        int(((finite >= low) & (finite < high)).sum())
        for low, high in zip(HISTOGRAM_EDGES, [*HISTOGRAM_EDGES[1:], np.inf], strict=True)
    ]
    assert histogram(values).tolist() == wanted


@settings(deadline=None, max_examples=150)
@given(shape=ROWS, kind=st.sampled_from((*KINDS, "threshold")), specials=st.integers(0, 8))
def test_change_ratio_cdf__is_the_share_at_or_below_each_threshold(shape, kind, specials) -> None:
    rows, size, _, _, seed = shape
    w = numbers(*shape)
    if kind == "threshold":  # ratios on the thresholds and next to them
        w = np.where(np.random.default_rng(seed).random(w.shape) < 0.5, 1, -2).astype(np.float32)
        g = (w * np.random.default_rng(seed).choice(THRESHOLDS, w.shape)).astype(np.float32)
    else:
        g = numbers(rows, size, kind, specials, seed + 1)
    usable = np.isfinite(w) & np.isfinite(g) & (w != 0)
    with np.errstate(over="ignore"):
        ratio = abs(g[usable].astype(np.float64) / w[usable].astype(np.float64))
    wanted = [(ratio <= threshold).sum() / w.size for threshold in THRESHOLDS[:-1]] + [(w == 0).sum() / w.size]
    assert change_ratio_cdf(w, g).tolist() == np.float32(wanted).tolist()


@settings(deadline=None, max_examples=150)
@given(shape=ROWS, scale=st.floats(1e-9, 1e3))
def test_histogram_quartiles__lie_in_the_bin_of_the_true_quantile(shape, scale) -> None:
    values = numbers(*shape, scale)
    finite = values[np.isfinite(values)].astype(np.float64)
    found = histogram_quartiles(histogram(values), *(finite.min(), finite.max()) if len(finite) else (0, 0))
    if not len(finite):
        assert np.isnan(found).all()
        return
    true = np.quantile(finite, (0.25, 0.5, 0.75), method="inverted_cdf")
    ends = np.append(HISTOGRAM_EDGES, np.inf)
    place = np.searchsorted(HISTOGRAM_EDGES, true, side="right") - 1
    low, high = np.maximum(ends[place], finite.min()), np.minimum(ends[place + 1], finite.max())
    rounding = 1e-7 * np.abs(found)
    assert ((found >= low - rounding) & (found <= high + rounding)).all(), (found, true)
    inside = (np.abs(true) >= 1e-8) & (np.abs(true) < 1e2)
    assert (np.abs(np.log10(found[inside] / true[inside])) <= 0.2501).all()
    assert (np.abs(found - true)[np.abs(true) < 1e-8] <= 1.0001e-8).all()
