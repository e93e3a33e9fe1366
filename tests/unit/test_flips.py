"""Left and right rule against a plain version that follows the definition word by word."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deeptracker.detect.flips import GAIN, LOSS, runs, survival


def plain(correct: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """L and R of methods §2, image by image, looking at the answers that were evaluated."""
    passes, images = correct.shape
    left = np.zeros((passes, longest, 2), int)
    right = np.zeros_like(left)
    for i in range(images):
        times = [t for t in range(passes) if correct[t, i] >= 0]
        answers = [int(correct[t, i]) for t in times]
        for j in range(1, len(times)):
            if answers[j] == answers[j - 1]:
                continue
            direction = GAIN if answers[j] else LOSS
            for k in range(1, longest + 1):
                before, after = answers[max(j - k, 0) : j], answers[j : j + k]
                left[times[j], k - 1, direction] += len(before) == k and len(set(before)) == 1
                right[times[j], k - 1, direction] += len(after) == k and len(set(after)) == 1
    return left, right


def of_one_class(lengths: np.ndarray, correct: np.ndarray, longest: int) -> np.ndarray:
    return survival(lengths, correct, np.array([0, correct.shape[1]]), longest)[:, 0]


@settings(deadline=None, max_examples=60)
@given(
    correct=arrays(np.int8, st.tuples(st.integers(1, 14), st.integers(1, 5)), elements=st.integers(-1, 1)),
    longest=st.integers(1, 16),
)
def test_left_and_right_rule__equal_their_definition_for_all_k(correct, longest) -> None:
    before, after = runs(correct)
    left, right = plain(correct, longest)
    np.testing.assert_array_equal(of_one_class(before, correct, longest), left)
    np.testing.assert_array_equal(of_one_class(after, correct, longest), right)


def test_left_rule__counts_flip_after_k_constant_passes() -> None:
    correct = np.array([[1], [1], [1], [0], [0]], np.int8)
    left = of_one_class(runs(correct)[0], correct, 5)
    assert left[3, :, LOSS].tolist() == [1, 1, 1, 0, 0]
    assert left[:, :, GAIN].sum() == 0


def test_right_rule__stands_where_the_new_answer_first_appears() -> None:
    correct = np.array([[0], [1], [1], [0]], np.int8)
    right = of_one_class(runs(correct)[1], correct, 3)
    assert right[1, :, GAIN].tolist() == [1, 1, 0]
    assert right[3, :, LOSS].tolist() == [1, 0, 0]


def test_not_evaluated__neither_breaks_nor_extends_a_run() -> None:
    with_gap = np.array([[1], [-1], [1], [-1], [0]], np.int8)
    assert of_one_class(runs(with_gap)[0], with_gap, 4)[4, :, LOSS].tolist() == [1, 1, 0, 0]


@given(
    correct=arrays(np.int8, st.tuples(st.integers(2, 10), st.integers(2, 6)), elements=st.integers(-1, 1)),
    cut=st.integers(1, 5),
)
@settings(deadline=None, max_examples=30)
def test_counts__are_sums_over_images_however_they_are_split(correct, cut) -> None:
    cut = min(cut, correct.shape[1] - 1)
    whole = of_one_class(runs(correct)[0], correct, 5)
    parts = sum(of_one_class(runs(p)[0], p, 5) for p in (correct[:, :cut], correct[:, cut:]))
    np.testing.assert_array_equal(whole, parts)
