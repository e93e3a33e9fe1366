"""Tables of validation passes: per class, per cluster of classes, over all images. Labelled tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from deeptracker.aggregate.pyramid import edges, pass_bin_sizes, pyramid
from deeptracker.conform import build
from deeptracker.schema.indexed import BIN_SIZES, EVENTS, REDUCTIONS

Array = npt.NDArray[np.float64]
Sums = Mapping[str, npt.NDArray[Any]]
"""What ``answers.window_counts`` gives: ``evaluated``, ``right``, ``losses``, ``loss``, ``events``."""


def all_table(path: str, passes: npt.NDArray[np.int64], sums: Sums, first: int) -> xr.Dataset:
    """Answers of all images: the last column of the sums; ``first`` is the number of the first pass."""
    counts = {name: values[:, 0] for name, values in _counts({k: v[:, -1:] for k, v in sums.items()}, first).items()}
    return build(f"{path}/all", counts, {"validation": passes, "event": list(EVENTS)})


def class_tables(
    path: str,
    passes: npt.NDArray[np.int64],
    sums: Sums,
    target: npt.NDArray[np.integer],
    names: npt.NDArray[Any],
    arranged: tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]],
    before: xr.Dataset | None,
    after: Callable[[str], int],
) -> dict[str, xr.Dataset]:
    """Answers per class of the passes that are summed, bins of passes of them, and answers per cluster of all passes.

    Parameters
    ----------
    passes, sums : all passes, and the sums of those that follow ``before``.
    target, names : class of each image, and the names of the classes.
    arranged : cluster of each class, and its place in the order.
    before : the table of the passes before, or None.
    after : table → its first rows that an earlier index has for good, and that are left out.
    """
    first = 0 if before is None else before.sizes["validation"]
    counts = _counts({name: values[:, :-1] for name, values in sums.items()}, first)
    axes: dict[str, Any] = {"class": names, "event": list(EVENTS)}
    size = np.bincount(target[target >= 0], minlength=len(names))
    cluster, order = arranged
    constant = {"images": size, "cluster": cluster, "order": order}
    table = build(f"{path}/classes", {**counts, **constant}, {**axes, "validation": passes[first:]})
    whole = {
        name: table[name].values if before is None else np.concatenate([before[name].values, table[name].values])
        for name in counts
    }
    merged = _merge(whole, cluster)
    labels = {"validation": passes, "cluster": np.arange(merged["right"].shape[1]), "event": list(EVENTS)}
    return {
        f"{path}/classes": table,
        f"{path}/clusters": build(f"{path}/clusters", _counts(merged, 0), labels),
        **_bins(f"{path}/classes", passes, whole["accuracy"], names, after),
    }


def _bins(
    path: str,
    passes: npt.NDArray[np.int64],
    accuracy: npt.NDArray[np.float32],
    names: npt.NDArray[Any],
    after: Callable[[str], int],
) -> dict[str, xr.Dataset]:
    """Bins of passes of the accuracy (passes, classes), those left out that stay.

    They begin at a multiple of the largest size: the same sums, whether passes came at once or in parts.
    """
    stay = {size: after(f"{path}_{size}") for size in pass_bin_sizes(len(passes))}
    if not stay:
        return {}
    start = min(size * bins for size, bins in stay.items()) // BIN_SIZES[-1] * BIN_SIZES[-1]
    out = {}
    for size, values in pyramid(accuracy[start:], tuple(stay)).items():
        at = {name: values[stay[size] :] for name, values in edges(passes, size).items()}
        out[f"{path}_{size}"] = build(
            f"{path}_{size}",
            {"accuracy": values[stay[size] - start // size :], "records": at["records"], "last": at["last"]},
            {"validation_bin": at["first"], "reduction": list(REDUCTIONS), "class": names},
        )
    return out


def _merge(counts: Mapping[str, Any], cluster: npt.NDArray[np.int8]) -> dict[str, Array]:
    """Sums over the classes of each cluster."""
    evaluated, losses = counts["evaluated"].astype(np.float64), counts["losses"].astype(np.float64)
    sums = {
        "evaluated": evaluated,
        "right": np.rint(np.where(evaluated > 0, counts["accuracy"], 0) * evaluated),
        "losses": losses,
        "loss": np.where(losses > 0, counts["loss"], 0) * losses,
        "events": np.moveaxis(counts["event_counts"], -1, 0).astype(np.float64),
    }
    # Row by row, so that a sum does not depend on how many passes there are.
    members = [np.flatnonzero(cluster == number) for number in range(int(cluster.max(initial=0)) + 1)]
    out = {name: np.stack([values[..., m].sum(axis=-1) for m in members], axis=-1) for name, values in sums.items()}
    out["events"] = np.moveaxis(out["events"], 0, -1)
    return out


def accuracy(sums: Sums) -> npt.NDArray[np.float32]:
    """Share of right answers, NaN where none was evaluated; (passes, groups)."""
    empty = np.full(sums["right"].shape, np.nan)
    return np.divide(sums["right"], sums["evaluated"], out=empty, where=sums["evaluated"] > 0).astype(np.float32)


def _counts(sums: Sums, first: int) -> dict[str, npt.NDArray[Any]]:
    """Variables of a table from sums of (passes, groups); events of pass 0 are −1: it has none before it."""
    empty = np.full(sums["right"].shape, np.nan)
    events = sums["events"].astype(np.int32)
    if first == 0:
        events[:1] = -1
    return {
        "evaluated": sums["evaluated"].astype(np.int32),
        "accuracy": accuracy(sums),
        "loss": np.divide(sums["loss"], sums["losses"], out=empty, where=sums["losses"] > 0),
        "losses": sums["losses"].astype(np.int32),
        "event_counts": events,
    }


__all__ = ["Sums", "accuracy", "all_table", "class_tables"]
