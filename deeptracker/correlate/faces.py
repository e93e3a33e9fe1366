"""The faces of the cube that need no filters' history: abnormal classes; and layer × class. Array tier."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

LATE_SHARE, LATE_LEAST = 5 / 50, 3
IMMEDIATE_SHARE = 30 / 50
"""Liu et al. 2018: 5 of 50 images after k = 31 passes, 30 of 50 at once; the same shares elsewhere, at least 3."""


def thresholds(images: npt.NDArray[np.integer], share: float) -> npt.NDArray[np.int64]:
    """θ of each class: a share of its images, at least 3."""
    return np.maximum(np.ceil(np.round(images * share, 9)).astype(np.int64), LATE_LEAST)


def abnormal(
    left: npt.NDArray[np.integer], right: npt.NDArray[np.integer], images: npt.NDArray[np.integer], late: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """Passes and classes that the left or the right rule marks.

    Parameters
    ----------
    left, right : (passes, classes, k) images that changed, gains and losses together; k = 1, 2, …
    images : (classes,) number of images. late : place on the k axis of the run length that counts as long.

    Returns
    -------
    marked : (passes, classes) L(k) ≥ θ or R(k) ≥ θ, or more than half the class at once: L(1) ≥ 60%.
    count : (passes, classes) the larger of L(k) and R(k).
    """
    count = np.maximum(left[:, :, late], right[:, :, late])
    at_once = np.maximum(left[:, :, 0], 0) >= thresholds(images, IMMEDIATE_SHARE)
    return (count >= thresholds(images, LATE_SHARE)) | at_once, np.maximum(count, 0).astype(np.int32)


def union(
    found: npt.NDArray[np.int64],
    marked: npt.NDArray[np.bool_],
    filter_layer: npt.NDArray[np.integer],
    layers: int,
) -> npt.NDArray[np.int32]:
    """Size of the union of a layer's anomalous filters over a class's abnormal passes, (layers, classes).

    ``found`` are distinct (pass, filter) pairs; ``marked`` is (passes, classes).
    """
    classes = marked.shape[1]
    out = np.zeros((layers, classes), np.int32)
    for number in range(classes):
        filters = np.unique(found[marked[found[:, 0], number], 1])
        out[:, number] = np.bincount(filter_layer[filters], minlength=layers)
    return out


def expected_union(
    found: npt.NDArray[np.int64],
    marked: npt.NDArray[np.bool_],
    filter_layer: npt.NDArray[np.integer],
    layers: int,
) -> npt.NDArray[np.float64]:
    """Union expected if the class's m abnormal passes were any m of all P passes, (layers, classes).

    A filter that is anomalous at n of P passes is missed by m random ones with probability C(P − n, m) / C(P, m); so
    E|union| = Σ over the layer's filters of 1 − C(P − n, m) / C(P, m). Zero for a class without abnormal passes.
    """
    passes, classes = marked.shape
    out = np.zeros((layers, classes))
    filters, often = np.unique(found[:, 1], return_counts=True)
    for number in range(classes):
        m = int(marked[:, number].sum())
        hit = 1 - np.exp(_log_choose(passes - often, m) - _log_choose(np.array(passes), m))
        np.add.at(out[:, number], filter_layer[filters], hit)
    return out


def _log_choose(n: npt.NDArray[np.integer], k: int) -> npt.NDArray[np.float64]:
    possible = n >= k
    at = np.where(possible, n, k)
    return np.where(possible, gammaln(at + 1) - gammaln(k + 1) - gammaln(at - k + 1), -np.inf)


__all__ = ["abnormal", "expected_union", "thresholds", "union"]
