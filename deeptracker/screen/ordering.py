"""Orders and clusters of classes: what lies beside what on the screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptracker.errors import InputError
from deeptracker.screen.answers import Classes, classes_of, error_by_class
from deeptracker.screen.opened import sizes, variables
from deeptracker.screen.reading import table

ORDERS = {
    "usual": "as usual",
    "own": "in their own order",
    "similarity": "by similarity",
    "accuracy": "hardest first",
    "forgetting": "most forgotten first",
}
FEW = 200
"""Passes, or bins of them, that an order by accuracy looks at."""


def ordered(run: Any, view: str, by: str = "usual") -> Classes:
    """The classes of a validation set, drawn in another order.

    Parameters
    ----------
    by : one of ``ORDERS``; ``usual`` is that of ``classes_of``. ``similarity`` and ``forgetting`` come from the
        index; without one the order stays as usual. Hardest: the largest share of wrong answers over all passes.
        Most forgotten: the most often right and then wrong, images of a class averaged.
    """
    classes = classes_of(run, view)
    if by not in ORDERS:
        raise InputError(f"order {by!r}: choose one of {', '.join(ORDERS)}")
    group = f"index/validation/{view}"
    count = len(classes.names)
    if by == "own":
        order = np.arange(count)
    elif by == "similarity" and sizes(run, f"{group}/classes").get("class") == count:
        order = np.argsort(table(run, f"{group}/classes", ["order"])["order"].values, kind="stable")
    elif by == "accuracy":
        _, share = error_by_class(run, view, classes, pixels=FEW)
        order = np.argsort(-_mean(share), kind="stable")
    elif by == "forgetting" and "forgetting_events" in variables(run, f"{group}/images"):
        often = table(run, f"{group}/images", ["forgetting_events"])["forgetting_events"].values.astype(float)
        each = [often[rows[rows < len(often)]] for rows in classes.each()]
        order = np.argsort([-(np.nanmean(one) if len(one) else -1.0) for one in each], kind="stable")
    else:
        return classes
    return reordered(classes, order.astype(np.intp))


def reordered(classes: Classes, order: NDArray[np.intp]) -> Classes:
    """The same classes, drawn in ``order``; images of a class keep theirs."""
    members = [classes.members(int(index)) for index in order]
    borders = np.concatenate([[0], np.cumsum([len(rows) for rows in members])]).astype(np.intp)
    rows = np.concatenate(members) if members else classes.rows
    return replace(classes, order=order, rows=rows, borders=borders)


def _mean(share: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean over passes, without NaN; 0 for a class that was never evaluated."""
    known = ~np.isnan(share)
    total = np.where(known, share, 0).sum(axis=0, dtype=np.float64)
    return np.asarray(total / np.maximum(known.sum(axis=0), 1))


def clusters_of(run: Any, view: str) -> NDArray[np.intp] | None:
    """The cluster of each class, as the index has it; None without an index, or with one cluster only."""
    group = f"index/validation/{view}/classes"
    if "cluster" not in variables(run, group):
        return None
    clusters = np.asarray(table(run, group, ["cluster"])["cluster"].values, dtype=np.intp)
    return clusters if len(np.unique(clusters)) > 1 else None


__all__ = ["ORDERS", "clusters_of", "ordered", "reordered"]
