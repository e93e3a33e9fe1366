"""The cube for the screen: its three faces, and the marks of the two rules, between two iterations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deeptracker.screen.kept import Kept, hashable, state_of
from deeptracker.screen.level import CELLS, within
from deeptracker.screen.opened import coordinate, opened, sizes
from deeptracker.screen.picking import pick
from deeptracker.screen.reading import table

MOST_CELLS = 40_000
"""Abnormal (pass, class) cells of the top face that are drawn, those with most images."""


_marks: Kept[xr.Dataset] = Kept(16)


@dataclass(frozen=True, slots=True)
class Faces:
    """What the three faces show.

    ``top``: abnormal cells, along ``cell``: ``place`` (row of ``passes``), ``class_index``, ``count``; ``left_out``
    counts those beyond ``MOST_CELLS``. ``front``: ``filters`` (validation, layer). ``side``: ``union``, ``expected``,
    ``ratio``, ``p`` (layer, class). ``passes``: iterations. ``kept``: positions of the classes that have a column.
    """

    passes: NDArray[np.int64]
    kept: NDArray[np.intp]
    abnormal_passes: NDArray[np.int64]
    top: xr.Dataset
    front: xr.Dataset
    side: xr.Dataset


def base_of(view: str) -> str:
    """Where the groups of a view's cube lie."""
    return f"correlation/validation/{view}"


def faces(run: Any, view: str, first: float | None = None, last: float | None = None) -> Faces:
    """The cube of ``<set>/<weights>`` between two iterations (default: all of it), loaded.

    Raises
    ------
    MissingGroupError : the run was not analysed.
    """
    base = base_of(view)
    passes = np.asarray(coordinate(run, f"{base}/passes", "validation"), dtype=np.int64)
    start, stop = _part(passes, first, last)
    part = {"validation": slice(start, stop)}
    marks = table(run, f"{base}/passes", ["abnormal", "kept"], select=part)
    abnormal = np.asarray(marks["abnormal"].transpose("validation", "class").values) > 0
    kept = np.flatnonzero(np.asarray(marks["kept"].values) > 0)
    kept = kept if len(kept) else np.arange(abnormal.shape[1])
    counts = pick(opened(run, f"{base}/passes")["count"].variable, part)
    # As one long row: six times faster than NumPy finds them on two axes.
    place, index = np.divmod(np.flatnonzero(abnormal), abnormal.shape[1] or 1)
    often = np.bincount(index, minlength=abnormal.shape[1])
    has_column = np.zeros(abnormal.shape[1], bool)
    has_column[kept] = True
    images = counts[place, index]
    drawn = np.flatnonzero(has_column[index] & (images > 0))
    most = drawn
    if len(drawn) > MOST_CELLS:
        most = np.sort(drawn[np.argsort(-images[drawn], kind="stable")[:MOST_CELLS]])
    top = xr.Dataset(
        {
            "place": ("cell", place[most]),
            "class_index": ("cell", index[most]),
            "count": ("cell", images[most]),
        },
        attrs={"left_out": len(drawn) - len(most)},
    )
    front = table(run, f"{base}/front", ["filters"], select=part)
    side = table(run, f"{base}/side")
    if "p" not in side:  # an analysis from before links were tested: none is proven
        side = side.assign(p=xr.full_like(side["ratio"], np.nan))
    return Faces(passes[start:stop], kept, often, top, front, side)


def _part(passes: NDArray[np.int64], first: float | None, last: float | None) -> tuple[int, int]:
    if not len(passes):
        return 0, 0
    return within(passes, passes[0] if first is None else first, passes[-1] if last is None else last)


def abnormal_passes(run: Any, view: str) -> xr.DataArray:
    """Which class is abnormal at which pass: (validation, class), 0 or 1."""
    return table(run, f"{base_of(view)}/passes", ["abnormal"])["abnormal"].transpose("validation", "class")


def rule_counts(run: Any, view: str, k: int, least: NDArray[np.int64], most: int) -> xr.Dataset:
    """Where the left or the right rule counts many images at once: one row a mark, the largest first.

    Parameters
    ----------
    k : constant passes; the nearest one that is stored is used.
    least : images of each class from which on it is a mark.
    most : marks at most.

    Returns
    -------
    Dataset along ``mark``: ``iteration``, ``class_index``, ``side`` (left, right), ``direction`` (gain, loss),
    ``images``; the attribute ``k``. Of a run with more counts than a screen can read, only the cells that the cube
    marks are looked at.
    """
    state = state_of(run)
    if state is None:
        return _rule_counts(run, view, k, least, most)
    key = (state, view, k, hashable(least), most)
    return _marks.get(key, lambda: _rule_counts(run, view, k, least, most), lambda _: 1).copy()


def _rule_counts(run: Any, view: str, k: int, least: NDArray[np.int64], most: int) -> xr.Dataset:
    group = f"anomalies/validation/{view}/classes"
    found: list[tuple[int, str, str, int, int]] = []
    nearest = k
    if run.has(group):
        ks = coordinate(run, group, "k")
        number = int(np.argmin(np.abs(ks - k)))
        nearest = int(ks[number])
        directions = [str(name) for name in coordinate(run, group, "direction")]
        for side in ("left", "right"):
            for p, c, direction, count in _counts(run, view, group, side, number, least, most):
                found.append((count, side, directions[direction], p, c))
    found = sorted(found, key=lambda mark: -mark[0])[:most]
    passes = coordinate(run, group, "validation") if found else np.zeros(0, np.int64)
    return xr.Dataset(
        {
            "iteration": ("mark", np.array([passes[mark[3]] for mark in found], np.int64)),
            "class_index": ("mark", np.array([mark[4] for mark in found], np.int64)),
            "side": ("mark", np.array([mark[1] for mark in found], object)),
            "direction": ("mark", np.array([mark[2] for mark in found], object)),
            "images": ("mark", np.array([mark[0] for mark in found], np.int64)),
        },
        attrs={"k": nearest},
    )


Count = tuple[int, int, int, int]


def _counts(
    run: Any, view: str, group: str, side: str, number: int, least: NDArray[np.int64], most: int
) -> list[Count]:
    """(pass, class, direction, images) of every count that is at least ``least``."""
    variable = opened(run, group)[side].variable
    order = ("validation", "class", "direction")
    if variable.size <= CELLS or not run.has(f"{base_of(view)}/passes"):
        values = variable.isel(k=number).transpose(*order).values
        return [(int(p), int(c), int(d), int(values[p, c, d])) for p, c, d in zip(*_many(values, least), strict=True)]
    out = []
    for p, c in _likely(run, view, most):
        cell = variable[{"validation": slice(p, p + 1), "class": slice(c, c + 1)}].isel(k=number)
        for d, count in enumerate(cell.transpose(*order).values[0, 0]):
            if count >= least[c]:
                out.append((p, c, d, int(count)))
    return out


def _many(values: NDArray[Any], least: NDArray[np.int64]) -> tuple[NDArray[np.intp], ...]:
    return np.nonzero(values >= least[None, :, None])


def _likely(run: Any, view: str, most: int) -> list[tuple[int, int]]:
    """The abnormal cells with most images, in the order of the passes: neighbours lie in one file."""
    marks = table(run, f"{base_of(view)}/passes", ["abnormal", "count"])
    counts = np.where(marks["abnormal"].values > 0, marks["count"].values, 0)
    flat = np.argpartition(-counts.ravel(), min(most, counts.size - 1))[:most]
    flat = np.sort(flat[counts.ravel()[flat] > 0])
    return [(int(p), int(c)) for p, c in zip(*np.unravel_index(flat, counts.shape), strict=True)]


def minisets(run: Any, view: str, *, tolerant: bool = False) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset] | None:
    """(mini-sets, their cells, their filters), loaded; None where there are none."""
    base = f"{base_of(view)}/{'tolerant_' * tolerant}miniset"
    if not run.has(f"{base}s") or not sizes(run, f"{base}s").get("miniset"):
        return None
    return tuple(table(run, f"{base}{name}") for name in ("s", "_cells", "_filters"))  # type: ignore[return-value]


__all__ = ["Faces", "abnormal_passes", "base_of", "faces", "minisets", "rule_counts"]
