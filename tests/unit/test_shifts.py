"""Slow shifts: what one record does not show, the sum of many does; a sound training's noise and drift raise none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deeptracker.detect.alarms import Alarm
from deeptracker.detect.causes import cause_of
from deeptracker.detect.shifts import shift_alarms, sums
from deeptracker.schema.derived import SIGNALS

RECORDS, LAYERS = 900, 6
W_RMS = SIGNALS.index("w_rms")


def noise(seed: int) -> np.ndarray:
    """Scores of layers as trainings give them: heavy tails, drifts that come and go."""
    rng = np.random.default_rng(seed)
    shape = len(SIGNALS), RECORDS, LAYERS
    drift = 0.7 * np.sin(np.arange(RECORDS)[:, None] / 90 + rng.uniform(0, 6, (len(SIGNALS), 1, LAYERS)))
    values = rng.standard_t(5, shape) + drift
    values[:, :100] = np.nan
    return values.astype(np.float32)


def alarms(values: np.ndarray, frontier: int = 0) -> list[Alarm]:
    found: Any = SimpleNamespace(
        layers=SimpleNamespace(values=values), iteration=10 * np.arange(RECORDS, dtype=np.int64), frontier=frontier
    )
    return shift_alarms(found, gap=100)


def plainly(scores: np.ndarray) -> np.ndarray:
    """The sums as the definition has them, one layer at a time."""
    out = np.zeros(scores.shape)
    for layer in range(scores.shape[1]):
        up = down = 0.0
        missing = 0
        for t, score in enumerate(scores[:, layer].astype(float)):
            if np.isnan(score):
                missing += 1
                up, down = (0.0, 0.0) if missing >= 5 else (up, down)
                continue
            missing = 0
            clipped = np.clip(score, -8, 8)
            up, down = max(up + clipped - 2.5, 0), max(down - clipped - 2.5, 0)
            out[t, layer] = up if up > down else -down
    return out


def test_sums__are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    scores = (3 * rng.standard_normal((500, 4))).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    scores[200:220, 1] = np.nan
    np.testing.assert_allclose(sums(scores)[0], plainly(scores), atol=1e-9)


def test_sums__know_where_they_began() -> None:
    scores = np.zeros((60, 1), np.float32)
    scores[20:30] = -4.0
    total, begun = sums(scores)
    assert total[29, 0] == pytest.approx(-15.0)
    assert begun[29, 0] == 20


@pytest.mark.parametrize("seed", range(6))
def test_shift_alarms__of_a_sound_training_are_none(seed: int) -> None:
    assert alarms(noise(seed)) == []


@pytest.mark.parametrize("height", [-4.5, 6.0])
def test_shift_alarms__of_what_lasts_begin_where_it_began(height: float) -> None:
    values = noise(1)
    values[W_RMS, 500:560, 2] += height
    [alarm] = alarms(values)
    assert (alarm.kind, alarm.place, alarm.what) == ("shift", 2, "w_rms")
    assert abs(alarm.onset - 5000) <= 20
    assert alarm.onset < alarm.known_at < 5300
    # It ends where the shift does: its own height hides nothing of it.
    assert abs(alarm.end - 5590) <= 50
    assert np.sign(alarm.facts["score"]) == np.sign(height)
    assert alarm.false_per_1000 < 0.05


def test_shift_alarms__of_a_second_shift_are_not_hidden_by_the_first() -> None:
    values = noise(2)
    values[W_RMS, 500:560, 2] -= 5
    values[W_RMS, 800:840, 4] -= 5
    assert [alarm.place for alarm in alarms(values)] == [2, 4]


def test_shift_alarms__before_the_frontier_of_a_thinned_run_are_none() -> None:
    values = noise(1)
    values[W_RMS, 500:560, 2] -= 5
    assert alarms(values, frontier=600) == []


def test_cause__of_weights_that_shrink_on_and_on_by_little_is_decay() -> None:
    values = noise(1)
    values[W_RMS, 500:560, 2] -= 5
    [alarm] = alarms(values)
    assert cause_of([alarm], alarm.onset, LAYERS) == "decay-or-normalisation"
