"""What is stored of the classes of a validation set, against the answers themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from deeptracker.aggregate import alone
from deeptracker.detect import answers
from deeptracker.detect.answers import Answers, score_answers
from deeptracker.detect.classes import Counts, class_scores
from deeptracker.schema.derived import DIRECTIONS, RULES
from deeptracker.store import Run, open_run
from deeptracker.testing import simulate

VIEW = "validation/raw"
PASSES, CLASSES, JUMP = 120, 3, 600
GAIN, LOSS = (DIRECTIONS.index(name) for name in ("gain", "loss"))


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Answers]:
    path: Path = tmp_path_factory.mktemp("classes") / "run"
    simulate(path, model="tiny", iterations=1200, images=180, passes=PASSES, classes=CLASSES, seed=1)
    run = open_run(path)
    with pytest.MonkeyPatch.context() as patch, run.write_stage("anomalies", {}) as writer:
        patch.setattr(answers, "_ROW_BYTES", 1)
        patch.setattr(answers, "_WINDOW_BYTES", 9 * 180 * 48)  # windows of 48 passes
        found = alone(score_answers, run, VIEW, np.array([JUMP]), writer)
    return run.refresh(), found


@pytest.fixture(scope="module")
def table(scored: tuple[Run, Answers]) -> xr.Dataset:
    return scored[0].dataset(f"anomalies/validation/{VIEW}/classes").load()


@pytest.fixture(scope="module")
def correct(scored: tuple[Run, Answers]) -> np.ndarray:
    return scored[0].dataset(f"validation/{VIEW}")["correct"].values


def changes(correct: np.ndarray, place: int, number: int) -> list[int]:
    """Images of a class that turned right, and that turned wrong, at a pass."""
    mine = slice(60 * number, 60 * number + 60)
    before, now = correct[place - 1, mine], correct[place, mine]
    return [int(((before == 0) & (now == 1)).sum()), int(((before == 1) & (now == 0)).sum())]


def test_level__allows_one_false_alarm_in_10_000_iterations(scored: tuple[Run, Answers], table: xr.Dataset) -> None:
    spacing = float(np.mean(np.diff(table["validation"].values)))
    tests = CLASSES * len(DIRECTIONS) * len(RULES) * 1000 / spacing  # of 1,000 iterations
    (level,) = set(table["class_level"].values.tolist())
    assert tests * stats.t.sf(level, 20) == pytest.approx(0.1, rel=1e-4)
    assert scored[1].false_per_1000(level) == pytest.approx(0.1, rel=1e-4)


def test_rules__count_the_changes_before_and_after_a_constant_run(table: xr.Dataset, correct: np.ndarray) -> None:
    for number in range(CLASSES):
        mine = correct[:, 60 * number : 60 * number + 60]
        turned = mine[1:] != mine[:-1]
        right = mine[1:] == 1
        for direction, towards in ((GAIN, right), (LOSS, ~right)):
            flips = turned & towards
            for side in ("left", "right"):
                stored = table[side].values[1:, number, :, direction]
                np.testing.assert_array_equal(stored[:, 0], flips.sum(1))
            left, right_side = (table[side].values[:, number, 1, direction] for side in ("left", "right"))
            np.testing.assert_array_equal(left[2:], (flips[1:] & ~turned[:-1]).sum(1))
            np.testing.assert_array_equal(right_side[1:-1], (flips[:-1] & ~turned[1:]).sum(1))


def test_right_rule__is_final_once_as_many_passes_are_there(table: xr.Dataset) -> None:
    at, k = np.arange(PASSES)[:, None], table["k"].values[None]
    np.testing.assert_array_equal(table["final"].values, at + k <= PASSES)


def test_class_score__is_nan_before_40_passes_and_in_the_ten_from_a_jump_of_the_rate_on(table: xr.Dataset) -> None:
    jumped = table["validation"].values.tolist().index(JUMP)  # a pass stands exactly there
    known = np.isfinite(table["class_score"].values[..., LOSS, 0]).any(1)
    expected = np.arange(PASSES) >= 40
    expected[jumped : jumped + 10] = False
    np.testing.assert_array_equal(known, expected)


def test_class_that_stands_out__is_told_with_what_changed(
    scored: tuple[Run, Answers], table: xr.Dataset, correct: np.ndarray
) -> None:
    high = scored[1].high
    scores = table["class_score"].values
    near = 0.6 * float(table["class_level"].values[0])
    assert len(high) == (np.nan_to_num(scores, nan=-9).max(3) >= np.float32(near)).sum() > 0
    for one in high:
        at, number, direction = int(one["pass"]), int(one["class"]), int(one["direction"])
        assert one["score"] == pytest.approx(np.nanmax(scores[at, number, direction]), rel=1e-6)
        assert one["rule"] == np.nanargmax(scores[at, number, direction])
        assert one["observed"] == changes(correct, at, number)[direction]
        assert 0 < one["expected"] < 60
    assert (high["observed"] > high["expected"]).any()


def test_lost__are_the_images_of_the_classes_that_turned_wrong(scored: tuple[Run, Answers]) -> None:
    run, found = scored
    correct = run.dataset(f"validation/{VIEW}")["correct"].values
    images, target = run.dataset("images/validation"), np.repeat(np.arange(CLASSES), 60)
    place = int(np.argmax([(correct[t - 1] > correct[t]).sum() for t in range(1, PASSES)])) + 1
    wrong = (correct[place - 1] == 1) & (correct[place] == 0)
    assert wrong.sum() > 3
    assert found.lost(run, place, [], 1000) == images["image"].values[wrong].tolist()
    assert found.lost(run, place, [], 3) == images["image"].values[wrong][:3].tolist()
    for number in range(CLASSES):
        mine = images["image"].values[wrong & (target == number)]
        assert found.lost(run, place, [number], 1000) == mine.tolist()


def test_class_scores__are_no_higher_at_the_first_passes_that_have_one() -> None:
    """Classes that shake by more than chance have a scale of their own from the first score on."""
    rng = np.random.default_rng(5)
    expected = np.full((400, 40, 2, 3), 12.0)
    observed = rng.poisson(expected * np.exp(0.7 * rng.standard_normal(expected.shape))).astype(np.float64)
    scores = class_scores(Counts(observed, expected, np.full(expected.shape, 200.0)), np.zeros(400, bool))
    assert np.isnan(scores[:40]).all()
    first, later = (np.nanquantile(np.abs(part), 0.99) for part in (scores[40:50], scores[150:]))
    assert first < 1.25 * later
