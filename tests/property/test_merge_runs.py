"""Run lengths and episodes do not depend on how passes or records were cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deeptracker.aggregate import Runs
from deeptracker.detect.episodes import Episodes
from deeptracker.detect.flips import runs

ANSWERS = arrays(np.int8, st.tuples(st.integers(1, 14), st.integers(1, 5)), elements=st.integers(-1, 1))
CUTS = st.lists(st.integers(0, 14), max_size=4)


def pieces(rows: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(rows, sorted(min(cut, len(rows)) for cut in cuts))


def same(one: Runs, other: Runs) -> None:
    for name in ("first", "first_length", "last", "last_length", "whole"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@settings(deadline=None, max_examples=80)
@given(ANSWERS, CUTS)
def test_runs__of_pieces_join_to_those_of_the_whole(correct: np.ndarray, cuts: list[int]) -> None:
    parts = [Runs.of(piece) for piece in pieces(correct, cuts)]
    left = Runs.nothing(correct.shape[1])
    for part in parts:
        left = left.then(part)
    right = Runs.nothing(correct.shape[1])
    for part in reversed(parts):
        right = part.then(right)
    same(left, Runs.of(correct))
    same(right, Runs.of(correct))


@given(ANSWERS)
def test_runs__are_the_first_and_the_last_stretch_of_equal_answers(correct: np.ndarray) -> None:
    found = Runs.of(correct)
    for image in range(correct.shape[1]):
        answers = [answer for answer in correct[:, image].tolist() if answer >= 0]
        first = next((n for n, answer in enumerate(answers) if answer != answers[0]), len(answers))
        backwards = answers[::-1]
        last = next((n for n, answer in enumerate(backwards) if answer != backwards[0]), len(answers))
        assert (found.first_length[image], found.last_length[image]) == (first, last)
        assert found.whole[image] == (first == len(answers))


@settings(deadline=None, max_examples=80)
@given(ANSWERS, CUTS)
def test_runs_around_changes__are_the_same_in_any_windows(correct: np.ndarray, cuts: list[int]) -> None:
    whole = runs(correct)
    parts = pieces(correct, cuts)
    found = []
    for number, piece in enumerate(parts):
        before, after = (np.concatenate([correct[:0], *some]) for some in (parts[:number], parts[number + 1 :]))
        found.append(runs(piece, Runs.of(before), Runs.of(after)))
    for side in range(2):
        np.testing.assert_array_equal(np.concatenate([one[side] for one in found]), whole[side])


@settings(deadline=None, max_examples=80)
@given(arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 3))), CUTS, st.integers(1, 4), st.integers(0, 30))
def test_episodes__are_the_same_in_any_windows(flags: np.ndarray, cuts: list[int], least: int, position: int) -> None:
    iteration = 2 * np.arange(len(flags)) + 1
    whole, cut = (Episodes(flags.shape[1], least, position) for _ in range(2))
    whole.see(flags, iteration)
    for rows, at in zip(pieces(flags, cuts), pieces(iteration, cuts), strict=True):
        cut.see(rows, at)
    for name in ("onset", "end", "there", "left"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name), err_msg=name)
    after = np.flatnonzero(iteration >= position)  # records from the position on
    for column in range(flags.shape[1]):
        there = bool(len(after) and flags[after[0], column])
        gone = [int(iteration[t]) for t in after if there and not flags[t, column]]
        assert (whole.there[column], whole.left[column]) == (there, gone[0] if gone else -1)
        lasting = [
            (first, next((t for t in range(first, len(flags)) if not flags[t, column]), len(flags)))
            for first in range(len(flags))
            if flags[first, column] and not (first and flags[first - 1, column])
        ]
        lasting = [(first, stop) for first, stop in lasting if stop - first >= least]
        onset, end = lasting[0] if lasting else (-1, -1)
        assert whole.onset[column] == (iteration[onset] if lasting else -1)
        assert whole.end[column] == (iteration[end] if lasting and end < len(flags) else -1)
