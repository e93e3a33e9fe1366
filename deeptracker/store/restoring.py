"""Putting right a table: its files from its copy, and without what a run can do without."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from deeptracker.errors import DamagedRunError
from deeptracker.store.aside import keep_aside
from deeptracker.store.commit import Commit
from deeptracker.store.condition import table_findings
from deeptracker.store.copies import differing, is_optional, make_copy, read_copy
from deeptracker.store.findings import Finding
from deeptracker.store.place import Place
from deeptracker.store.tables import ARRAYS
from deeptracker.store.whereabouts import growing_of, table_place
from deeptracker.store.zarrays import make_group, read_attributes

COPIED = "its copy took its place"
DROPPED = "dropped: the run does without"
IN_THE_WAY = (IsADirectoryError, NotADirectoryError, FileExistsError)
"""A folder in the place of a file, or the other way round: whoever made it may want it."""


def restored(folder: Place, commit: Commit, group: str, findings: Iterable[Finding]) -> tuple[Commit, list[Finding]]:
    """Put right a table; what cannot be is left as it is, and its findings too.

    Returns
    -------
    The state that names the copy of what the table is now (not saved), and what was found, with what was done.
    """
    place, dropped = table_place(folder, group, commit.tables[group]), set()
    with suppress(*IN_THE_WAY):
        _copy_back(folder, commit, group, place)
        left = {one.variable for one in table_findings(folder, commit, group)}
        # Without the metadata of the group nothing tells that an array was dropped on purpose.
        for name in sorted(one for one in left if is_optional(group, one) and "" not in left):
            _leave_out(folder, place, name)
            dropped.add(name)
    if dropped and left == dropped:
        checksum = make_copy(folder, place, group, growing_of(commit, group))
        commit = replace(commit, copies={**commit.copies, group: checksum})
    left = {one.variable for one in table_findings(folder, commit, group)}
    done = {one: DROPPED if one.variable in dropped else COPIED for one in findings if one.variable not in left}
    return commit, [one.after(done[one]) if one in done else one for one in findings]


def _copy_back(folder: Place, commit: Commit, group: str, place: Place) -> None:
    try:
        copied = read_copy(folder, commit, group)
    except (FileNotFoundError, DamagedRunError):
        return
    for file in differing(place, copied):
        target = place.joinpath(*file.split("/"))
        keep_aside(folder, target)
        target.write([copied[file]])


def _leave_out(folder: Place, place: Place, name: str) -> None:
    """Remove an array from a group that was written whole."""
    attributes = read_attributes(place)
    for file, _ in list((place / name).sizes()):
        keep_aside(folder, place.joinpath(name, *file.split("/")))
    attributes[ARRAYS] = [one for one in attributes.get(ARRAYS, ()) if one != name]
    make_group(place, attributes)
    (place / name).remove()


__all__ = ["COPIED", "DROPPED", "IN_THE_WAY", "restored"]
