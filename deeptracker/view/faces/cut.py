"""Cuts through the cube: which cells of its faces belong to the chosen layers, classes and passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cut:
    """What the cube is cut at: positions of layers, of classes and of passes; empty: not cut there."""

    layers: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    passes: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.layers or self.classes or self.passes)


def masks(abnormal: Mask, filters: NDArray[np.int64], cut: Cut) -> tuple[Mask, Mask, Mask]:
    """Cells of the top (pass, class), front (pass, layer) and side (layer, class) that lie in a cut.

    A point (pass, layer, class) of the cube is filled where the class is abnormal at the pass and the layer has
    filters at the alarm level before it. A cell of a face is in the cut where its line through the cube meets a
    filled point of the chosen layers, classes and passes; an axis that is not cut is looked at as a whole, and a cell
    of the top or the front counts there also without a partner.

    Parameters
    ----------
    abnormal : (pass, class). filters : (pass, layer), how many.
    """
    at = _chosen(cut.passes, len(abnormal))
    layers, classes = _chosen(cut.layers, filters.shape[1]), _chosen(cut.classes, abnormal.shape[1])
    some = filters > 0
    top = abnormal & at[:, None] & classes[None, :]
    front = some & at[:, None] & layers[None, :]
    if cut.layers:
        top = top & np.asarray(some[:, layers].any(axis=1))[:, None]
    if cut.classes:
        front = front & np.asarray(abnormal[:, classes].any(axis=1))[:, None]
    inside = some[at].astype(np.float32).T @ abnormal[at].astype(np.float32) > 0
    side = inside & layers[:, None] & classes[None, :]
    return top, front, side


def _chosen(positions: Sequence[int], count: int) -> Mask:
    """True at the chosen positions; at all of them where none is chosen."""
    mask = np.zeros(count, bool)
    mask[[p for p in positions if 0 <= p < count]] = True
    return mask if positions else np.ones(count, bool)


__all__ = ["Cut", "masks"]
