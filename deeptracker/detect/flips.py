"""Left and right rule: answers that change after, or before, a long constant run.

Both are survival counts of run lengths: a change after a run of r passes adds one to L(1) … L(r), so one integer per
image and one pass over time give all k at once. Not evaluated (−1) neither breaks nor extends a run.
Liu et al. 2018, doi:10.1145/3200489.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from deeptracker.aggregate import Runs

GAIN, LOSS = 0, 1

Answers = npt.NDArray[np.int8]
Lengths = npt.NDArray[np.uint16]
MOST = 65_535
"""Longer runs count as this long: two numbers an image and pass are most of what a task holds."""


@numba.njit(cache=True, nogil=True)
def _runs(
    correct: Any, answer: Any, length: Any, next_answer: Any, next_length: Any, before: Any, after: Any
) -> None:
    """Length of the run that each change ends (``before``) and starts (``after``); 0 where nothing changed."""
    passes, images = correct.shape
    changed_at = np.full(images, -1, np.int64)
    for t in range(passes):
        for i in range(images):
            now = correct[t, i]
            if now < 0:
                continue
            if answer[i] >= 0 and now != answer[i]:
                before[t, i] = min(length[i], MOST)
                if changed_at[i] >= 0:
                    after[changed_at[i], i] = min(length[i], MOST)
                changed_at[i] = t
                length[i] = 1
            else:
                length[i] += 1
            answer[i] = now
    for i in range(images):
        if changed_at[i] >= 0:
            goes_on = next_length[i] if next_answer[i] == answer[i] else 0
            after[changed_at[i], i] = min(length[i] + goes_on, MOST)


def runs(correct: Answers, earlier: Runs | None = None, later: Runs | None = None) -> tuple[Lengths, Lengths]:
    """Run lengths around every change of answer.

    Parameters
    ----------
    correct : (passes, images) of 1, 0 and −1.
    earlier, later : the runs of all passes before these, and of all after them; None where there are none.

    Returns
    -------
    Two (passes, images) uint16 arrays: for a change at t, the number of evaluated passes with the old answer before
    t, and with the new one from t on, ``MOST`` of more; 0 where nothing changed.
    """
    images = correct.shape[1]
    earlier, later = earlier or Runs.nothing(images), later or Runs.nothing(images)
    before = np.zeros(correct.shape, np.uint16)
    after = np.zeros(correct.shape, np.uint16)
    state = earlier.last.copy(), earlier.last_length.copy(), later.first, later.first_length
    _runs(np.ascontiguousarray(correct), *state, before, after)
    return before, after


@numba.njit(cache=True, nogil=True)
def _survival(lengths: Any, correct: Any, borders: Any, out: Any) -> None:
    passes, classes, longest, _ = out.shape
    for t in range(passes):
        for c in range(classes):
            some = False
            for i in range(borders[c], borders[c + 1]):
                length = lengths[t, i]
                if length > 0 and correct[t, i] >= 0:
                    out[t, c, min(length, longest) - 1, 1 - correct[t, i]] += 1
                    some = True
            if some:
                for k in range(longest - 2, -1, -1):
                    out[t, c, k, 0] += out[t, c, k + 1, 0]
                    out[t, c, k, 1] += out[t, c, k + 1, 1]


def survival(
    lengths: Lengths, correct: Answers, borders: npt.NDArray[np.int64], longest: int
) -> npt.NDArray[np.int32]:
    """Changes with a run of at least k, for k = 1 … ``longest``, gains and losses apart.

    Parameters
    ----------
    lengths, correct : (passes, images), images sorted by class.
    borders : (classes + 1,) where the images of each class begin, and the end.

    Returns
    -------
    (passes, classes, k, direction) int32.
    """
    out = np.zeros((len(lengths), len(borders) - 1, longest, 2), np.int32)
    _survival(lengths, np.ascontiguousarray(correct), borders, out)
    return out


__all__ = ["GAIN", "LOSS", "MOST", "runs", "survival"]
