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

GAIN, LOSS = 0, 1


@numba.njit(cache=True, nogil=True)
def _runs(correct: Any, before: Any, after: Any) -> None:
    """Length of the run that each change ends (``before``) and starts (``after``); 0 where nothing changed."""
    passes, images = correct.shape
    for i in range(images):
        answer, run, changed_at = -1, 0, -1
        for t in range(passes):
            now = correct[t, i]
            if now < 0:
                continue
            if answer >= 0 and now != answer:
                before[t, i] = run
                if changed_at >= 0:
                    after[changed_at, i] = run
                changed_at, run = t, 1
            else:
                run += 1
            answer = now
        if changed_at >= 0:
            after[changed_at, i] = run


def runs(correct: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Run lengths around every change of answer.

    ``correct`` is (passes, images) of 1, 0 and −1. Returns two (passes, images) arrays: for a change at t, the number
    of evaluated passes with the old answer before t, and with the new one from t on; 0 where nothing changed.
    """
    before = np.zeros(correct.shape, np.int32)
    after = np.zeros(correct.shape, np.int32)
    _runs(np.ascontiguousarray(correct), before, after)
    return before, after


def survival(lengths: npt.NDArray[np.int32], correct: npt.NDArray[np.int8], longest: int) -> npt.NDArray[np.int32]:
    """Changes with a run of at least k, for k = 1 … ``longest``, gains and losses apart.

    ``lengths`` and ``correct`` are (passes, images of one class); returns (passes, k, direction).
    """
    out = np.zeros((len(lengths), longest, 2), np.int32)
    clipped = np.minimum(lengths, longest)
    for direction, answer in ((GAIN, 1), (LOSS, 0)):
        chosen = np.where((correct == answer) & (lengths > 0), clipped, 0)
        for t in range(len(lengths)):
            counts = np.bincount(chosen[t], minlength=longest + 1)[1:]
            out[t, :, direction] = counts[::-1].cumsum()[::-1]
    return out
