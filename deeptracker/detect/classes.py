"""The calibrated class score: did more images of a class change at once than their own past leads one to expect?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy import stats

from deeptracker.detect.flips import GAIN, MOST, Lengths
from deeptracker.detect.rolling import trailing_median
from deeptracker.schema.derived import RULES

Array = npt.NDArray[np.float64]

WINDOW = 60
LEAST_PASSES = 40
_SETTLED = 20  # passes after which residuals tell the scale: the first scores need one, too
LEAST_AT_RISK = 10
_SHRINK = 5.0
_LEAST_EXPECTED = 0.3
SETTLING = 10  # passes after a jump of the learning rate without a score
_FREEDOM = 20


def long_run(passes: int) -> int:
    """k₀: 4% of the passes, at least 2 (and at most the longest run that is told from longer ones)."""
    return min(max(2, round(0.04 * passes)), MOST)


@dataclass(frozen=True, slots=True)
class Counts:
    """Observed changes, the sum of the images' own rates, images at risk; (passes, classes, direction, rule)."""

    observed: Array
    expected: Array
    at_risk: Array


@numba.njit(cache=True, nogil=True, inline="always")
def _flag(correct: Any, before: Any, after: Any, t: Any, i: Any, old: Any, length: Any) -> Any:
    """0: not at risk; 1: at risk; plus 2, 4, 8 for a change, a left and a right event."""
    if t == 0 or correct[t - 1, i] != old or correct[t, i] < 0:
        return 0
    if correct[t, i] == old:
        return 1
    return 3 + 4 * (before[t, i] >= length) + 8 * (after[t, i] >= length)


@numba.njit(cache=True, nogil=True)
def _counts(
    correct: Any,
    before: Any,
    after: Any,
    borders: Any,
    length: Any,
    start: Any,
    observed: Any,
    expected: Any,
    risk: Any,
) -> None:
    passes, images = correct.shape
    trials = np.zeros(images, np.int64)  # of each image in the window before the pass
    happened = np.zeros((3, images), np.int64)
    for direction in range(2):
        old = 0 if direction == GAIN else 1
        for c in range(len(borders) - 1):
            first, stop = borders[c], borders[c + 1]
            trials[first:stop] = 0
            happened[:, first:stop] = 0
            for t in range(passes):
                for back, sign in ((1, 1), (1 + WINDOW, -1)):
                    if t < back:
                        continue
                    for i in range(first, stop):
                        flag = _flag(correct, before, after, t - back, i, old, length)
                        if flag:
                            trials[i] += sign
                            for rule in range(3):
                                happened[rule, i] += sign * ((flag >> (rule + 1)) & 1)
                if t < start:
                    continue
                tried = max(trials[first:stop].sum(), 1)
                for rule in range(3):
                    whole = happened[rule, first:stop].sum() / tried
                    seen, expecting, at_risk = 0, 0.0, 0
                    for i in range(first, stop):
                        flag = _flag(correct, before, after, t, i, old, length)
                        if flag:
                            at_risk += 1
                            seen += (flag >> (rule + 1)) & 1
                            expecting += (happened[rule, i] + _SHRINK * whole) / (trials[i] + _SHRINK)
                    observed[t - start, c, direction, rule] = seen
                    expected[t - start, c, direction, rule] = expecting
                    risk[t - start, c, direction, rule] = at_risk


def counts(
    correct: npt.NDArray[np.int8],
    before: Lengths,
    after: Lengths,
    borders: npt.NDArray[np.int64],
    length: int,
    start: int = 0,
) -> Counts:
    """Observed changes of each class's images and what each image's own past makes one expect.

    Parameters
    ----------
    correct, before, after : (passes, images), as in ``flips.runs``; images sorted by class.
    borders : (classes + 1,) where the images of each class begin, and the end.
    length : k₀ of the left and the right rule.
    start : first pass that is counted; it rests on the 61 before it.

    An image is at risk of a gain where it was wrong at the pass before, of a loss where it was right. Its rate is
    its changes per pass at risk in the 60 passes before, shrunk to its class's rate with the weight of 5 passes.
    """
    shape = (len(correct) - start, len(borders) - 1, 2, len(RULES))
    out = Counts(*(np.zeros(shape) for _ in range(3)))
    arrays = out.observed, out.expected, out.at_risk
    _counts(np.ascontiguousarray(correct), before, after, borders, length, start, *arrays)
    return out


def class_scores(found: Counts, quiet: npt.NDArray[np.bool_], first: int = 0) -> Array:
    """How far each class's changes exceed their expectation, in the class's own trailing robust scales.

    A factor common to all other classes at the pass is taken off first (a shake of all classes is the iteration's,
    not theirs). The residual is the signed root of the Poisson deviance: with an expectation of 0.3, four changes
    stand 3.6 deviations out, not 7 as (N − Σh)/√Σh(1−h) has it, and such counts are the rule for long runs.

    ``quiet`` (passes,) marks passes without a score (just after a jump of the learning rate, when answers settle
    everywhere); ``first`` is the number of the first of these passes in the run. Returns (passes, class, direction,
    rule) float64, each resting on the 60 passes before; NaN before the run's pass 40, with fewer than 10 images at
    risk, and where quiet.
    """
    out = np.empty(found.observed.shape)
    for direction, rule in np.ndindex(out.shape[2:]):  # one by one, since all at once would be held a dozen times
        one = Counts(*(count[..., direction, rule] for count in (found.observed, found.expected, found.at_risk)))
        out[..., direction, rule] = _scores(one, quiet, first)
    return out


def _scores(found: Counts, quiet: npt.NDArray[np.bool_], first: int) -> Array:
    """Of one direction and rule: (passes, class)."""
    observed, expected, at_risk = found.observed, found.expected, found.at_risk
    others_observed = observed.sum(1, keepdims=True) - observed
    others_expected = expected.sum(1, keepdims=True) - expected
    mean = np.maximum(expected * (others_observed + _SHRINK) / (others_expected + _SHRINK), _LEAST_EXPECTED)
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.where(observed > 0, observed * np.log(observed / mean), 0.0)
    residual = np.sign(observed - mean) * np.sqrt(np.maximum(2 * (growth - (observed - mean)), 0))
    residual[at_risk < LEAST_AT_RISK] = np.nan
    residual[: max(_SETTLED - first, 0)] = np.nan
    residual[quiet] = np.nan
    scores = residual / _own_scale(residual)
    scores[: max(LEAST_PASSES - first, 0)] = np.nan
    return scores


def _own_scale(z: Array) -> Array:
    starts = np.zeros(len(z), np.int64)
    own = 1.4826 * trailing_median(np.ascontiguousarray(np.abs(z).T), starts, window=WINDOW, least=10).T
    known = ~np.isnan(own)
    total = np.where(known, own, 0).sum(1, keepdims=True)
    everyone = np.divide(total, known.sum(1, keepdims=True), out=np.full_like(total, np.nan), where=total > 0)
    scale = np.sqrt(0.5 * own**2 + 0.5 * everyone**2)
    return np.fmax(scale, 1.0)


def class_level(classes: int, passes_per_1000: float, false_per_1000: float) -> float:
    """Score above which a class is an alarm: tail of Student t with 20 degrees, over all tests of a pass."""
    tests = max(classes, 1) * 2 * len(RULES) * max(passes_per_1000, 1e-9)  # a set without images has no classes
    return float(stats.t.isf(min(false_per_1000 / tests, 0.5), _FREEDOM))


def class_rate(score: float, classes: int, passes_per_1000: float) -> float:
    """False alarms per 1,000 iterations expected at this height."""
    tests = classes * 2 * len(RULES) * passes_per_1000
    return float(tests * stats.t.sf(score, _FREEDOM))
