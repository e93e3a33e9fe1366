"""The sets over all layers: the same bits for any number of threads, scaled gradients, any memory layout."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from deeptracker.statistics import StandardSet, filter_quartiles, full_set, histogram_quartiles, quartiles
from deeptracker.statistics.parallel import RowShares

SHAPES = [(64, 27), (300, 1500), (7, 1), (1, 70000), (500, 513), (10, 9000)]


def arrays(seed, broken=0):
    rng = np.random.default_rng(seed)
    out = [rng.standard_normal(shape, np.float32) for shape in SHAPES]
    for values in out[: len(out) if broken else 0]:
        places = rng.integers(values.size, size=broken)
        values.flat[places] = rng.choice([np.nan, np.inf, -np.inf, 0], broken)
    return out


@pytest.fixture
def eager(monkeypatch):
    """Threads also for arrays as small as these."""
    monkeypatch.setattr("deeptracker.statistics.parallel._WORTH_A_THREAD", 10_000)


def record(standard, seed, broken=0, **options):
    standard.gradients(arrays(seed, broken), **options)
    standard.weights(arrays(seed + 1, broken))
    return standard.derive()


def assert_same_bits(ours, theirs) -> None:
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        assert mine.keys() == other.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], other[name], err_msg=name)
    np.testing.assert_equal(ours[2:], theirs[2:])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_standard_set__has_the_same_bits_for_any_number_of_threads(threads) -> None:
    one, many = StandardSet(arrays(0), threads=1), StandardSet(arrays(0), threads=threads)
    for seed in (1, 3):
        assert_same_bits(record(one, seed, broken=9), record(many, seed, broken=9))


@pytest.mark.usefixtures("eager")
def test_quartiles__have_the_same_bits_for_any_number_of_threads() -> None:
    values = [*arrays(0, broken=9), None]
    filters = [*(len(rows) for rows in values[:-1]), 4]
    one = filter_quartiles(values, filters, threads=1)
    np.testing.assert_array_equal(one, filter_quartiles(values, filters, threads=3))
    assert np.isnan(one[:, -4:]).all()
    np.testing.assert_array_equal(one[:, :64], quartiles(values[0]))


@pytest.mark.parametrize("scale", [65536.0, 3.0, 1e-3])
def test_scale__gives_the_statistics_of_gradients_divided_first(scale) -> None:
    scaled, divided = StandardSet(arrays(0)), StandardSet(arrays(0))
    gradients = arrays(1, broken=5)
    scaled.gradients(gradients, scale=scale)
    divided.gradients([(g.astype(np.float64) / scale).astype(np.float32) for g in gradients])
    for standard in (scaled, divided):
        standard.weights(arrays(2))
    ours, theirs = scaled.derive(), divided.derive()
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        for name in mine:
            np.testing.assert_allclose(mine[name], other[name], rtol=1e-5, atol=1e-6 / scale, err_msg=name)
    assert ours[2] == pytest.approx(theirs[2], rel=1e-6)


def test_gradients__come_in_parts_and_count_for_one_record_only() -> None:
    whole, parts = StandardSet(arrays(0)), StandardSet(arrays(0))
    gradients = arrays(1)
    whole.gradients(gradients)
    parts.gradients(gradients[4:], [4, 5])
    parts.gradients(gradients[:4], [0, 1, 2, 3])
    for standard in (whole, parts):
        standard.weights(arrays(2))
    assert_same_bits(whole.derive(), parts.derive())
    parts.gradients([None, gradients[1]], [0, 1])
    parts.weights(arrays(3))
    filters, layers, norm = parts.derive()
    assert np.isnan(filters["g_norm2"][:64]).all()
    assert np.isfinite(filters["g_norm2"][64:364]).all()
    assert np.isnan(layers["g_norm2"]).tolist() == [True, False, True, True, True, True]
    assert norm == pytest.approx(np.linalg.norm(gradients[1]), rel=1e-5)
    parts.weights(arrays(4))
    filters, _, norm = parts.derive()
    assert np.isnan(filters["g_norm2"]).all()
    assert np.isnan(norm)


def test_standard_set__takes_any_layout_and_precision() -> None:
    plain, odd = StandardSet(arrays(0)), StandardSet([np.asfortranarray(a) for a in arrays(0)])
    frozen = arrays(2)
    for rows in frozen:
        rows.flags.writeable = False
    plain.gradients(arrays(1))
    odd.gradients([np.ascontiguousarray(a.T).T.astype(np.float64) for a in arrays(1)])
    plain.weights(arrays(2))
    odd.weights(frozen)
    assert_same_bits(plain.derive(), odd.derive())


def test_update__is_nan_at_first_then_against_the_record_before() -> None:
    standard = StandardSet(arrays(0))
    filters, layers, _ = record(standard, 1)
    assert np.isnan(filters["update_norm2"]).all()
    assert np.isnan(layers["update_angle"]).all()
    filters, layers, _ = record(standard, 3)
    before, now = (np.concatenate([np.ravel(a) for a in arrays(seed)[:1]]).astype(np.float64) for seed in (2, 4))
    assert layers["update_norm2"][0] == pytest.approx(np.linalg.norm(now - before), rel=1e-6)
    cosine = now @ before / np.linalg.norm(now) / np.linalg.norm(before)
    assert layers["update_angle"][0] == pytest.approx(np.arccos(cosine), abs=1e-5)


def test_rotation__counts_from_new_initial_weights() -> None:
    standard = StandardSet(arrays(0))
    assert (record(standard, 1)[0]["rotation_from_init"] > 1e-3).any()
    standard.set_initial(arrays(2))
    np.testing.assert_allclose(record(standard, 1)[0]["rotation_from_init"], 0, atol=1e-7)


def test_filter__all_nan_has_no_update_rather_than_none_at_all() -> None:
    standard = StandardSet([np.ones((2, 5), np.float32)])
    found = []
    for value in (1.0, np.nan, 2.0, 2.0):
        standard.weights([np.array([[value] * 5, [1.0] * 5], np.float32)])
        found.append(standard.derive()[0]["update_norm2"])
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [np.nan, 0], [np.nan, 0], [0, 0]])


def test_full_set__large_filters_come_from_the_histogram() -> None:
    w, g = arrays(0), [*arrays(1)[:-1], None]
    filters, layers = full_set(w, g)
    place = sum(rows for rows, _ in SHAPES[:3])
    large = w[3][0]
    assert abs(np.log10(filters["w_q3"][place] / np.quantile(large, 0.75))) < 0.25
    assert filters["w_q3"][place] == layers["w_q3"][3]
    np.testing.assert_allclose(filters["w_median"][:64], np.median(w[0], axis=1), rtol=1e-6, atol=1e-9)
    assert layers["w_hist"].sum(1).tolist() == [rows * size for rows, size in SHAPES]
    assert np.isnan(filters["g_median"][-10:]).all()
    assert np.isnan(layers["g_median"]).tolist() == [False] * 5 + [True]
    assert layers["g_hist"][-1].sum() == 0
    assert layers["change_ratio_cdf"][-1].tolist() == [0] * layers["change_ratio_cdf"].shape[1]


def test_histogram_quartiles__survive_values_far_outside_the_bins() -> None:
    counts = np.zeros(84, np.int32)
    counts[[0, -1]] = 2, 2
    found = histogram_quartiles(counts, -1e18, 1e18)
    assert -1e18 <= found[0] <= found[1] <= -100
    assert found[2] >= 100


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_shares__hold_every_row_once(threads) -> None:
    shapes = [*SHAPES, (0, 4), (3, 10**6)]
    seen = [np.zeros(rows, int) for rows, _ in shapes]

    def work(number: int, start: int, stop: int) -> None:
        seen[number][start:stop] += 1

    shares = RowShares(shapes, threads)
    shares.run(work)
    assert all((rows == 1).all() for rows in seen)
    assert (len(shares.shares) > len(shapes)) == (threads > 1)


@pytest.mark.usefixtures("eager")
def test_shares__an_error_in_another_thread_reaches_the_caller() -> None:
    failed = threading.Event()

    def work(number: int, start: int, stop: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            failed.set()
            raise ValueError(f"row {start}")
        assert failed.wait(60)

    with pytest.raises(ValueError, match="row"):
        RowShares(SHAPES, 2).run(work)
