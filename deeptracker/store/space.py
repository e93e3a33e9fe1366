"""What a run takes on disk, group by group, and what was deleted of it to keep a budget."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deeptracker.store.commit import Commit
from deeptracker.store.joined import read_rows
from deeptracker.store.layout import LOG, TAIL, is_plain

THINNED = ("group", "first", "last", "rows", "bytes")


def bytes_on_disk(folder: Path) -> int:
    """Bytes of all files below a folder; files that vanish meanwhile count nothing."""
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(here, name)).st_size
            except FileNotFoundError:
                continue
    return total


def bytes_by_group(path: Path, commit: Commit, stages: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Bytes on disk of every group of a run, largest first.

    Parameters
    ----------
    path, commit, stages : as a ``Run`` has them.

    Returns
    -------
    group → bytes, with two more entries: ``tail`` (rows of all groups that are not in the hierarchy yet) and
    ``other`` (markers, notes, reports, what is being made). They sum up to ``bytes_on_disk(path)``.
    """
    places = {group: path / LOG / group for group in {*commit.groups, *commit.tables}}
    for stage, entry in stages.items():
        for group in entry["groups"]:
            places[group] = path / LOG / stage / str(entry["version"]) / group.partition("/")[2]
    places["tail"] = path / TAIL
    sizes = {group: bytes_on_disk(place) for group, place in places.items()}
    sizes["other"] = max(0, bytes_on_disk(path) - sum(sizes.values()))
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))


def shard_bytes(path: Path, commit: Commit, group: str) -> npt.NDArray[np.int64]:
    """Bytes on disk of each whole shard of a growing group, over all variables that lie in shards; (shards,)."""
    growth = commit.groups[group]
    sizes = np.zeros(growth.shards // growth.shard_rows, np.int64)
    for name, column in growth.columns.items():
        place = path / LOG / group / name / "c"
        if is_plain(column.shape, column.dims) or not place.is_dir():
            continue
        for child in os.listdir(place):
            if child.isdigit() and int(child) < len(sizes):
                sizes[int(child)] += bytes_on_disk(place / child)
    return sizes


def thinned_table(path: Path, commit: Commit) -> pd.DataFrame:
    """Stretches of rows that were deleted: one row each, with the positions of its first and last row."""
    rows = []
    for group, growth in commit.groups.items():
        for span in growth.thinned.spans:
            first = read_rows(path, commit, group, growth.axis, span.start, span.start + 1)[0]
            last = read_rows(path, commit, group, growth.axis, span.stop - 1, span.stop)[0]
            rows.append((group, int(first), int(last), span.stop - span.start, span.nbytes))
    return pd.DataFrame(rows, columns=list(THINNED))


__all__ = ["bytes_by_group", "bytes_on_disk", "shard_bytes", "thinned_table"]
