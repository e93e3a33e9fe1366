"""What a run takes on disk, group by group, and what was deleted of it to keep a budget."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deeptracker.store.commit import Commit
from deeptracker.store.joined import read_rows
from deeptracker.store.layout import LOG, TAIL, is_plain
from deeptracker.store.place import Place, place_of

THINNED = ("group", "first", "last", "rows", "bytes")
LOST = ("group", "variable", "first", "last", "rows")


def bytes_on_disk(folder: str | Path | Place) -> int:
    """Bytes of all files below a folder; files that vanish meanwhile count nothing."""
    return sum(size for _, size in place_of(folder).sizes())


def bytes_by_group(path: Place, commit: Commit, stages: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Bytes on disk of every group of a run, largest first.

    Parameters
    ----------
    path, commit, stages : as a ``Run`` has them.

    Returns
    -------
    group → bytes, with two more entries: ``tail`` (rows of all groups that are not in the hierarchy yet) and
    ``other`` (markers, notes, reports, what is being made). They sum up to ``bytes_on_disk(path)``.
    """
    places = {f"{LOG}/{group}": group for group in {*commit.groups, *commit.tables}}
    for stage, entry in stages.items():
        for group in entry["groups"]:
            places[f"{LOG}/{stage}/{entry['version']}/{group.partition('/')[2]}"] = group
    places[TAIL] = "tail"
    sizes = dict.fromkeys([*places.values(), "other"], 0)
    for name, size in path.sizes():
        above = (name[:end] for end in range(len(name), 0, -1) if end == len(name) or name[end] == "/")
        sizes[next((places[place] for place in above if place in places), "other")] += size
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))


def shard_bytes(path: Place | Path, commit: Commit, group: str) -> npt.NDArray[np.int64]:
    """Bytes on disk of each whole shard of a growing group, over all variables that lie in shards; (shards,)."""
    growth = commit.groups[group]
    sizes = np.zeros(growth.shards // growth.shard_rows, np.int64)
    for name, column in growth.columns.items():
        if is_plain(column.shape, column.dims):
            continue
        for file, size in (place_of(path) / LOG / group / name / "c").sizes():
            number = file.partition("/")[0]
            if number.isdigit() and int(number) < len(sizes):
                sizes[int(number)] += size
    return sizes


def thinned_table(path: Place, commit: Commit) -> pd.DataFrame:
    """Stretches of rows that were deleted: one row each, with the positions of its first and last row."""
    rows = []
    for group, growth in commit.groups.items():
        for span in growth.thinned.spans:
            first = read_rows(path, commit, group, growth.axis, span.start, span.start + 1)[0]
            last = read_rows(path, commit, group, growth.axis, span.stop - 1, span.stop)[0]
            rows.append((group, int(first), int(last), span.stop - span.start, span.nbytes))
    return pd.DataFrame(rows, columns=list(THINNED))


def lost_table(path: Place, commit: Commit) -> pd.DataFrame:
    """Stretches of rows that a damage took from a variable: one row each, with their first and last position."""
    rows = []
    for group, growth in commit.groups.items():
        for name, spans in growth.lost.items():
            for start, stop in spans:
                first, last = (
                    int(read_rows(path, commit, group, growth.axis, n, n + 1)[0]) for n in (start, stop - 1)
                )
                rows.append((group, name, first, last, stop - start))
    return pd.DataFrame(rows, columns=list(LOST))


__all__ = ["bytes_by_group", "bytes_on_disk", "lost_table", "shard_bytes", "thinned_table"]
