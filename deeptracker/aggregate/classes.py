"""Which classes behave alike: clusters of their errors over time, and an order that puts neighbours together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

Array = npt.NDArray[np.float64]

CLUSTERS = 4
_PASSES = 256  # standardised at once
MOST_SCALED = 1500
"""Above so many classes multidimensional scaling (cubic) gives way to sorting by summed error."""


def standardised_error(accuracy: npt.NDArray[np.floating]) -> Array:
    """Error of each class, every pass standardised across classes (Liu et al. 2018); (passes, classes) → the same.

    A pass in which all classes err alike, and a class without an evaluated image, gives 0.
    """
    out = np.zeros(accuracy.shape)
    for first in range(0, len(out), _PASSES):
        some = slice(first, first + _PASSES)
        error = 1 - accuracy[some].astype(np.float64)
        known = ~np.isnan(error)
        count = np.maximum(known.sum(axis=1, keepdims=True), 1)
        mean = np.where(known, error, 0).sum(axis=1, keepdims=True) / count
        centred = np.where(known, error - mean, 0)
        spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
        np.divide(centred, spread, out=out[some], where=spread > 1e-12)
    return out


def arrange(accuracy: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]:
    """Cluster of each class and its place in the order, from (passes, classes); both on one core."""
    series = standardised_error(accuracy)
    with threadpool_limits(1):  # other workers have the other cores, and threads that wait for one turn it in vain
        return clusters(series), class_order(series)


def clusters(series: Array) -> npt.NDArray[np.int8]:
    """Cluster of each class: k-means with k = 4 and seed 0 (Liu et al. 2018), 0 = the least summed error.

    Parameters
    ----------
    series : (passes, classes) standardised errors. Fewer distinct classes than four give fewer clusters.
    """
    from sklearn.cluster import KMeans  # here: loading it takes half a second

    vectors = np.ascontiguousarray(series.T)
    k = min(CLUSTERS, len(np.unique(vectors, axis=0)))
    if k < 2:
        return np.zeros(len(vectors), np.int8)
    labels = KMeans(n_clusters=k, random_state=0, n_init=10).fit(vectors).labels_
    summed = vectors.sum(axis=1)
    levels = [summed[labels == label].mean() for label in range(k)]
    place = np.empty(k, np.int8)
    place[np.argsort(levels, kind="stable")] = np.arange(k)
    return place[labels]


def class_order(series: Array) -> npt.NDArray[np.int32]:
    """Place of each class: one-dimensional classical MDS on cosine distance, the end with less error first.

    Above ``MOST_SCALED`` classes, by summed error.
    """
    summed = series.sum(axis=0)
    n = len(summed)
    coordinate = summed
    if 2 < n <= MOST_SCALED:
        norm = np.linalg.norm(series, axis=0)
        unit = np.divide(series, norm, out=np.zeros_like(series), where=norm > 0)
        distance = 1 - np.clip(unit.T @ unit, -1, 1)
        np.fill_diagonal(distance, 0)
        centre = np.eye(n) - 1 / n
        values, vectors = np.linalg.eigh(-0.5 * centre @ distance**2 @ centre)
        coordinate = vectors[:, -1] * np.sqrt(max(values[-1], 0))
        if coordinate @ (summed - summed.mean()) < 0:
            coordinate = -coordinate
    order = np.empty(n, np.int32)
    # Rounded, so that the last bits of a linear-algebra library do not swap classes that tie.
    order[np.lexsort((summed, np.round(coordinate, 9)))] = np.arange(n)
    return order


__all__ = ["CLUSTERS", "arrange", "class_order", "clusters", "standardised_error"]
