"""The calibrated class score: did more images of a class change at once than their own past leads one to expect?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from deeptracker.detect.flips import GAIN, LOSS
from deeptracker.detect.rolling import trailing_median
from deeptracker.schema.derived import RULES

Array = npt.NDArray[np.float64]

WINDOW = 60
LEAST_PASSES = 40
LEAST_AT_RISK = 10
_SHRINK = 5.0
_LEAST_EXPECTED = 0.3
SETTLING = 10  # passes after a jump of the learning rate without a score
_FREEDOM = 8


def long_run(passes: int) -> int:
    """k₀: 4% of the passes, at least 2."""
    return max(2, round(0.04 * passes))


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one class: observed changes, the sum of the images' own rates, images at risk; (passes, direction, rule)."""

    observed: Array
    expected: Array
    at_risk: Array


def counts(
    correct: npt.NDArray[np.int8],
    before: npt.NDArray[np.int32],
    after: npt.NDArray[np.int32],
    length: int,
) -> Counts:
    """Observed changes of a class's images and what each image's own past makes one expect.

    Parameters
    ----------
    correct, before, after : (passes, images), as in ``flips.runs``.
    length : k₀ of the left and the right rule.

    An image is at risk of a gain where it was wrong at the pass before, of a loss where it was right. Its rate is
    its changes per pass at risk in the 60 passes before, shrunk to its class's rate with the weight of 5 passes.
    """
    passes = len(correct)
    shape = (passes, 2, len(RULES))
    out = Counts(*(np.zeros(shape) for _ in range(3)))
    previous = np.full_like(correct, -1)
    previous[1:] = correct[:-1]
    for direction, old in ((GAIN, 0), (LOSS, 1)):
        risk = (previous == old) & (correct >= 0)
        changed = risk & (correct == 1 - old)
        trials = _trailing(risk)
        for rule, events in enumerate((changed, changed & (before >= length), changed & (after >= length))):
            happened = _trailing(events)
            whole = happened.sum(1, keepdims=True) / np.maximum(trials.sum(1, keepdims=True), 1)
            rate = (happened + _SHRINK * whole) / (trials + _SHRINK)
            out.observed[:, direction, rule] = events.sum(1)
            out.expected[:, direction, rule] = (rate * risk).sum(1)
            out.at_risk[:, direction, rule] = risk.sum(1)
    return out


def _trailing(flags: npt.NDArray[np.bool_]) -> Array:
    """How often each image had the flag in the window before each pass, (passes, images)."""
    total = np.zeros((len(flags) + 1, flags.shape[1]))
    np.cumsum(flags, axis=0, out=total[1:])
    ends = np.arange(len(flags))
    return total[ends] - total[np.maximum(ends - WINDOW, 0)]


def class_scores(per_class: list[Counts], quiet: npt.NDArray[np.bool_]) -> Array:
    """How far each class's changes exceed their expectation, in the class's own trailing robust scales.

    A factor common to all other classes at the pass is taken off first (a shake of all classes is the iteration's,
    not theirs). The residual is the signed root of the Poisson deviance: with an expectation of 0.3, four changes
    stand 3.6 deviations out, not 7 as (N − Σh)/√Σh(1−h) has it, and such counts are the rule for long runs.

    ``quiet`` (passes,) marks passes without a score (just after a jump of the learning rate, when answers settle
    everywhere). Returns (passes, class, direction, rule) float64; NaN before 40 passes, with fewer than 10 images at
    risk, and where quiet.
    """
    observed = np.stack([c.observed for c in per_class], 1)
    expected = np.stack([c.expected for c in per_class], 1)
    at_risk = np.stack([c.at_risk for c in per_class], 1)
    others_observed = observed.sum(1, keepdims=True) - observed
    others_expected = expected.sum(1, keepdims=True) - expected
    mean = np.maximum(expected * (others_observed + _SHRINK) / (others_expected + _SHRINK), _LEAST_EXPECTED)
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.where(observed > 0, observed * np.log(observed / mean), 0.0)
    residual = np.sign(observed - mean) * np.sqrt(np.maximum(2 * (growth - (observed - mean)), 0))
    residual[at_risk < LEAST_AT_RISK] = np.nan
    residual[:LEAST_PASSES] = np.nan
    residual[quiet] = np.nan
    return residual / _own_scale(residual)


def _own_scale(z: Array) -> Array:
    passes, classes, directions, rules = z.shape
    flat = np.abs(z).reshape(passes, -1).T
    starts = np.zeros(passes, np.int64)
    own = 1.4826 * trailing_median(np.ascontiguousarray(flat), starts, window=WINDOW, least=10)
    own = own.T.reshape(passes, classes, directions, rules)
    known = ~np.isnan(own)
    total = np.where(known, own, 0).sum(1, keepdims=True)
    everyone = np.divide(total, known.sum(1, keepdims=True), out=np.full_like(total, np.nan), where=total > 0)
    scale = np.sqrt(0.5 * own**2 + 0.5 * everyone**2)
    return np.fmax(scale, 1.0)


def class_level(classes: int, passes_per_1000: float, false_per_1000: float) -> float:
    """Score above which a class is an alarm: tail of Student t with 8 degrees, over all tests of a pass."""
    tests = classes * 2 * len(RULES) * max(passes_per_1000, 1e-9)
    return float(stats.t.isf(min(false_per_1000 / tests, 0.5), _FREEDOM))


def class_rate(score: float, classes: int, passes_per_1000: float) -> float:
    """False alarms per 1,000 iterations expected at this height."""
    tests = classes * 2 * len(RULES) * passes_per_1000
    return float(tests * stats.t.sf(score, _FREEDOM))
