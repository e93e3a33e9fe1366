"""Run lengths as a reduction: how long each image's answer had lasted, told from pieces in any cut. Array tier.

A piece of passes is known by its first and its last run of equal answers; two pieces that follow one another join
their runs where the answers are the same. −1 (not evaluated) neither breaks nor extends a run.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Answers = npt.NDArray[np.int8]
Lengths = npt.NDArray[np.int32]


class Runs:
    """The first and the last run of each image in a piece.

    No dataclass: Dask would look for tasks in all of its fields.

    Attributes
    ----------
    first, last : (images,) int8 answers, −1 where none was evaluated.
    first_length, last_length : (images,) int32 evaluated passes with them, counted within the piece.
    whole : (images,) whether the piece is one run.
    """

    def __init__(
        self, first: Answers, first_length: Lengths, last: Answers, last_length: Lengths, whole: Any
    ) -> None:
        self.first, self.first_length = first, first_length
        self.last, self.last_length = last, last_length
        self.whole: npt.NDArray[np.bool_] = whole

    @classmethod
    def nothing(cls, images: int) -> Runs:
        """Of a piece without passes: what changes nothing when it is joined."""
        return cls.of(np.empty((0, images), np.int8))

    @classmethod
    def of(cls, correct: Answers) -> Runs:
        """Of (passes, images) answers."""
        images = correct.shape[1]
        first, last = np.full((2, images), -1, np.int8)
        lengths = np.zeros((2, images), np.int32)
        whole = np.ones(images, bool)
        _ends(np.ascontiguousarray(correct), first, lengths[0], last, lengths[1], whole)
        return cls(first, lengths[0], last, lengths[1], whole)

    def then(self, later: Runs) -> Runs:
        """Of this piece and the one that follows it; associative."""
        joined = (self.last == later.first) & (self.last >= 0)
        here, there = self.first >= 0, later.first >= 0
        first_length = self.first_length + np.where(joined & self.whole, later.first_length, 0)
        last_length = later.last_length + np.where(joined & later.whole, self.last_length, 0)
        return Runs(
            np.where(here, self.first, later.first),
            np.where(here, first_length, later.first_length).astype(np.int32),
            np.where(there, later.last, self.last),
            np.where(there, last_length, self.last_length).astype(np.int32),
            np.where(here & there, self.whole & later.whole & joined, self.whole & later.whole),
        )


@numba.njit(cache=True, nogil=True)
def _ends(correct: Any, first: Any, first_length: Any, last: Any, last_length: Any, whole: Any) -> None:
    passes, images = correct.shape
    for t in range(passes):
        for i in range(images):
            now = correct[t, i]
            if now < 0:
                continue
            if last[i] < 0:
                first[i] = now
            elif now != last[i]:
                whole[i] = False
                last_length[i] = 0
            last[i] = now
            last_length[i] += 1
            if whole[i]:
                first_length[i] += 1


__all__ = ["Runs"]
