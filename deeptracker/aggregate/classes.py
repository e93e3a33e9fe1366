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
    error = 1 - accuracy.astype(np.float64)
    known = ~np.isnan(error)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, error, 0).sum(axis=1, keepdims=True) / count
    centred = np.where(known, error - mean, 0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    return np.divide(centred, spread, out=np.zeros(accuracy.shape), where=spread > 1e-12)


def arrange(accuracy: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]:
    """Cluster of each class and its place in the order, from (passes, classes); both on one core.

    Both rest on the angles and distances of the classes' standardised errors alone. With more passes than classes
    these come from the products of all pairs, summed over passes, so that memory does not grow with the passes.
    """
    with threadpool_limits(1):  # other workers have the other cores, and threads that wait for one turn it in vain
        points, summed = _points(accuracy)
        return clusters(points, summed), class_order(points, summed)


def _points(accuracy: npt.NDArray[np.floating]) -> tuple[Array, Array]:
    """Points (classes, any) as far apart as the classes' standardised errors, at the same angles; and their sums."""
    passes, classes = accuracy.shape
    pieces = (standardised_error(accuracy[at : at + _PASSES]) for at in range(0, passes, _PASSES))
    if passes <= classes:
        series = np.concatenate([*pieces, np.zeros((0, classes))])
        return np.ascontiguousarray(series.T), series.sum(axis=0)
    products, summed = np.zeros((classes, classes)), np.zeros(classes)
    for piece in pieces:
        products += piece.T @ piece
        summed += piece.sum(axis=0)
    values, vectors = np.linalg.eigh(products)
    some = values > 1e-10 * max(values[-1], 1e-300)  # what is less is rounding
    return np.ascontiguousarray(vectors[:, some] * np.sqrt(values[some])), summed


def clusters(points: Array, summed: Array) -> npt.NDArray[np.int8]:
    """Cluster of each class: k-means with k = 4 and seed 0 (Liu et al. 2018), 0 = the least summed error.

    Parameters
    ----------
    points : (classes, any) standardised errors, or what has their distances. Fewer distinct classes than four give
        fewer clusters.
    summed : (classes,) the sum of each class's standardised errors.
    """
    from sklearn.cluster import KMeans  # here: loading it takes half a second

    k = min(CLUSTERS, len(np.unique(np.round(points, 6), axis=0)))
    if k < 2:
        return np.zeros(len(points), np.int8)
    labels = KMeans(n_clusters=k, random_state=0, n_init=10).fit(points).labels_
    levels = [summed[labels == label].mean() for label in range(k)]
    place = np.empty(k, np.int8)
    place[np.argsort(levels, kind="stable")] = np.arange(k)
    return place[labels]


def class_order(points: Array, summed: Array) -> npt.NDArray[np.int32]:
    """Place of each class: one-dimensional classical MDS on cosine distance, the end with less error first.

    Above ``MOST_SCALED`` classes, by summed error. Parameters as of ``clusters``.
    """
    n = len(summed)
    coordinate = summed
    if 2 < n <= MOST_SCALED:
        norm = np.linalg.norm(points, axis=1, keepdims=True)
        unit = np.divide(points, norm, out=np.zeros_like(points), where=norm > 0)
        distance = 1 - np.clip(unit @ unit.T, -1, 1)
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
