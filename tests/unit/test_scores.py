"""Scores, levels and learning-rate events on series whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deeptracker.detect.classes import class_scores, counts, long_run
from deeptracker.detect.episodes import Episodes
from deeptracker.detect.flips import runs
from deeptracker.detect.original import lowest_cosine
from deeptracker.detect.rates import jumps, rate_events, segments, segments_of_updates
from deeptracker.detect.rolling import trailing_median
from deeptracker.detect.scores import score
from deeptracker.detect.sparse import RECENT, Sparse
from deeptracker.detect.tail import Tail, alarm_levels


@settings(deadline=None, max_examples=50)
@given(
    records=st.integers(1, 40),
    window=st.integers(1, 12),
    least=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 0.6),
)
def test_trailing_median__equals_numpy_on_every_window(records, window, least, seed, share) -> None:
    rng = np.random.default_rng(seed)
    series = rng.integers(0, 5, (3, records)).astype(float)
    series[rng.random(series.shape) < share] = np.nan
    starts = np.maximum.accumulate(np.where(rng.random(records) < 0.1, np.arange(records), 0))
    out = trailing_median(series, starts, window=window, least=least)
    for t in range(records):
        for row in range(3):
            past = series[row, max(starts[t], t - window) : t]
            past = past[~np.isnan(past)]
            expected = np.median(past) if len(past) >= least else np.nan
            np.testing.assert_equal(out[row, t], expected)


def test_score__finds_the_filter_that_leaves_its_layer_and_the_layer_that_moves() -> None:
    rng = np.random.default_rng(0)
    layer = np.repeat([0, 1], 20)
    common = rng.standard_normal((2, 400))
    series = common[layer] + 0.5 * rng.standard_normal((40, 400))
    series[7, 300] += 10
    series[layer == 1, 350] += 15
    filters, layers = score(series, np.zeros(400, np.int64), layer, np.array([0, 1]))
    assert np.nanargmax(np.abs(filters[:, 300])) == 7
    assert filters[7, 300] > 12
    assert np.nanmax(np.abs(filters[:, 350])) < 7, "a step common to a layer is the layer's"
    assert layers[1, 350] > 8
    assert abs(layers[0, 350]) < 5
    assert np.isnan(filters[:, :99]).all(), "too little history gives NaN, not 0"


def test_score__does_not_follow_the_common_unit_of_a_signal() -> None:
    rng = np.random.default_rng(1)
    series = rng.standard_normal((10, 300))
    arguments = np.zeros(300, np.int64), np.zeros(10, np.int64), np.array([0])
    np.testing.assert_allclose(score(series, *arguments)[0], score(7 * series + 3, *arguments)[0], atol=1e-9)


def test_tail__recovers_the_level_of_a_known_distribution() -> None:
    draws = stats.genpareto.rvs(0.15, size=20_000, random_state=0)
    tail = Tail.fit(draws)
    assert tail.level(1e-3) == pytest.approx(stats.genpareto.isf(1e-3, 0.15), rel=0.1)
    assert tail.rate(tail.level(1e-4)) == pytest.approx(1e-4, rel=1e-6)


def test_alarm_level__is_not_lifted_by_the_anomaly_it_judges() -> None:
    rng = np.random.default_rng(0)
    maxima = 3 + 0.4 * rng.standard_normal(800)
    clean = alarm_levels(maxima, 1e-4).level
    maxima[500:520] = 60
    np.testing.assert_array_equal(alarm_levels(maxima, 1e-4).level[:520], clean[:520])
    assert alarm_levels(maxima, 1e-4).level[700] < 12
    assert np.isnan(clean[:300]).all(), "under 300 records: uncalibrated"


def test_alarm_level__holds_its_rate_on_heavy_tails() -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(20):
        maxima = np.abs(rng.standard_t(8, (1000, 30))).max(1)
        level = alarm_levels(maxima, 0.3 / 1000 / 18).level
        alarms += int((maxima[300:] >= level[300:]).sum())
    assert alarms <= 5


def test_rate_events__label_drops_and_name_undeclared_rises() -> None:
    rate = np.full(1000, 0.1)
    rate[300:] = 0.01
    rate[600:605] = 0.1
    drop, spike = rate_events(rate)
    assert (drop.position, drop.spike) == (300, False)
    assert (spike.position, spike.spike, spike.end) == (600, True, 605)
    assert spike.factor == pytest.approx(10)


def test_rate_events__warm_up_cosine_and_one_cycle_give_none() -> None:
    t = np.arange(1000)
    warm = np.minimum(1, (t + 1) / 50) * 0.1
    cosine = 0.05 * (1 + np.cos(np.pi * t / 1100))
    cycle = np.interp(t, [0, 300, 1000], [0.004, 0.1, 0.001])
    for rate in (warm, cosine, cycle):
        assert len(jumps(np.log(rate))) == 0


def test_segments__break_at_rate_events_and_at_a_change_of_spacing() -> None:
    rate = np.array([1.0, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])
    steps = np.array([-1, 1, 1, 1, 1, 1, 5, 5])
    assert segments(rate[:, None], steps).tolist() == [0, 0, 0, 0, 4, 4, 6, 6]


def test_segments__a_resume_is_no_break_but_another_spacing_after_it_is() -> None:
    rate = np.full((8, 1), 0.1)
    same, other = (np.array([-1, 1, 1, -1, then, then, then, then]) for then in (1, 5))
    assert segments(rate, same).tolist() == [0] * 8
    assert segments(rate, other).tolist() == [0] * 4 + [4] * 4


def test_segments_of_updates__the_first_step_at_a_new_rate_belongs_to_the_ones_before() -> None:
    rate = np.array([1.0, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1])
    for steps, expected in (
        ([-1, 1, 1, 1, 1, 1, 5, 5], [0, 0, 0, 0, 4, 4, 6, 6]),
        ([-1, 5, 5, 5, 5, 5, 5, 5], [0, 0, 0, 3, 3, 3, 3, 3]),
        ([-1, 1, 1, -1, 1, 1, 1, 1], [0, 0, 0, 3, 3, 3, 3, 3]),
    ):
        starts = segments(rate[:, None], np.array(steps))
        assert segments_of_updates(starts, np.array(steps)).tolist() == expected


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), borders=st.lists(st.integers(0, 400), max_size=4))
def test_sparse__is_a_filter_while_a_tenth_of_the_last_records_had_no_gradient(seed: int, borders: list[int]) -> None:
    rng = np.random.default_rng(seed)
    none = rng.random((400, 6)) < np.repeat(rng.random((8, 6)) ** 3, 50, axis=0)
    seen, edges = Sparse(6), sorted({0, *borders, 400})
    for start, stop in itertools.pairwise(edges):
        seen.see(none[start:stop])
    expected = np.array([none[max(t + 1 - RECENT, 0) : t + 1].sum(0) > RECENT / 10 for t in range(400)])
    np.testing.assert_array_equal(seen.at(0, 400), expected.T)
    start, stop = sorted(rng.integers(0, 401, 2))
    np.testing.assert_array_equal(seen.at(start, stop), expected[start:stop].T)


def test_lowest_cosine__takes_ten_inner_filters_lowest_first() -> None:
    rng = np.random.default_rng(0)
    cosine = rng.random((5, 60)).astype(np.float32)
    layer = np.repeat([0, 1, 2, 3], 15)
    place, lowest = lowest_cosine(cosine, layer)
    for t in range(5):
        inner = np.arange(15, 45)
        expected = inner[np.argsort(cosine[t, inner])][:10]
        assert place[t].tolist() == expected.tolist()
        np.testing.assert_array_equal(lowest[t], cosine[t, expected])


def test_episodes__take_the_first_that_lasts() -> None:
    flags = np.zeros((12, 3), bool)
    flags[2:4, 0] = flags[6:10, 0] = True
    flags[8:, 1] = True
    found = Episodes(3, 3)
    found.see(flags, np.arange(12))
    assert found.onset.tolist() == [6, 8, -1]
    assert found.end.tolist() == [10, -1, -1]


def flipping(passes: int, seed: int) -> list[np.ndarray]:
    """Answers of six classes of 60 images; each image has its own rate of being wrong."""
    rng = np.random.default_rng(seed)
    return [(rng.random((passes, 60)) > 0.15 * rng.random(60)).astype(np.int8) for _ in range(6)]


def class_z(classes: list[np.ndarray]) -> np.ndarray:
    passes, correct = len(classes[0]), np.concatenate(classes, axis=1)
    borders = np.cumsum([0, *(c.shape[1] for c in classes)])
    found = counts(correct, *runs(correct), borders, long_run(passes))
    return class_scores(found, np.zeros(passes, bool))


def test_class_score__names_the_class_whose_images_turn_together() -> None:
    classes = flipping(100, 0)
    classes[3][80, :25] = 0
    z = class_z(classes)
    assert np.unravel_index(np.nanargmax(z[80]), z[80].shape)[:2] == (3, 1)
    assert np.nanmax(z[80]) > 6
    assert np.nanmax(z[80, [0, 1, 2, 4, 5]]) < 5


def test_class_score__leaves_a_shake_of_all_classes_to_the_iteration() -> None:
    classes = flipping(100, 1)
    for c in classes:
        c[80, :20] = 0
    assert np.nanmax(class_z(classes)[80]) < 6


def test_class_score__is_nan_before_40_passes_and_rarely_high_after() -> None:
    z = np.stack([class_z(flipping(120, seed)) for seed in range(5)])
    assert np.isnan(z[:, :40]).all()
    assert np.nanmax(z[:, 40:]) < 6


def test_score__weights_that_only_decay_step_by_step_of_float32_are_no_anomaly() -> None:
    rng = np.random.default_rng(0)
    decay = np.exp(-8.9e-6 * np.arange(500))[None] * rng.uniform(0.1, 0.16, 32)[:, None]
    stored = np.log(decay.astype(np.float32).astype(float))
    change = np.diff(stored, prepend=stored[:, :1])
    assert len(np.unique(change)) > 1
    filters, _ = score(change, np.zeros(500, np.int64), np.zeros(32, np.int64), np.zeros(1, np.int64))
    assert np.nanmax(np.abs(filters)) < 3
