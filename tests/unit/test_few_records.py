"""Runs too short for alarms: what stands out is shown, uncalibrated; a common, lasting step is likely the rate."""

from __future__ import annotations

import numpy as np
import pytest

from deeptracker.detect.few import steps


def sizes(seed: int = 0, records: int = 30, layers: int = 5) -> np.ndarray:
    """|Δw| / |w| of a quiet training."""
    return 1e-3 * np.exp(np.random.default_rng(seed).normal(0, 0.1, (records, layers)))


@pytest.mark.parametrize("seed", range(5))
def test_steps__a_quiet_training_has_none_of_several_layers(seed: int) -> None:
    assert all(len(step.layers) < 2 for step in steps(sizes(seed)))


def test_steps__a_fall_of_all_layers_comes_first_with_its_factors_and_lasts() -> None:
    values = sizes()
    values[16:] /= np.array([4, 5, 5, 6, 8])
    values[20, 2] *= 30  # one layer alone, higher
    first = steps(values)[0]
    assert (first.record, len(first.layers), first.lasts) == (16, 5, True)
    by_layer = dict(zip(first.layers.tolist(), first.factors.tolist(), strict=True))
    np.testing.assert_allclose([1 / by_layer[n] for n in range(5)], [4, 5, 5, 6, 8], rtol=0.5)


def test_steps__one_record_of_large_updates_does_not_last() -> None:
    values = sizes()
    values[16] *= 10
    up, down = sorted(steps(values)[:2], key=lambda step: step.record)
    assert (up.record, up.lasts, down.record) == (16, False, 17)


def test_steps__what_the_rate_explains_is_none() -> None:
    rate = np.where(np.arange(30) < 16, 0.1, 0.01)
    values = sizes() * rate[:, None]
    assert steps(values)[0].record == 16
    assert all(len(step.layers) < 2 for step in steps(values, np.log(rate)))


def test_steps__missing_and_still_layers_are_left_out() -> None:
    values = sizes()
    values[16:] /= 5
    values[:, 1], values[:, 3] = np.nan, 0
    assert sorted(steps(values)[0].layers.tolist()) == [0, 2, 4]
    assert steps(np.full((30, 2), np.nan)) == []


def test_steps__what_follows_in_the_same_direction_belongs_to_the_step() -> None:
    values = sizes()
    values[16:] /= 5
    values[17:, :2] /= 6
    assert [(step.record, len(step.layers)) for step in steps(values) if len(step.layers) > 1] == [(16, 5)]
