"""Where tables lie, their copies too, and which arrays a table has."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from deeptracker.errors import DamagedRunError, RunError
from deeptracker.store import plausible
from deeptracker.store.commit import Commit
from deeptracker.store.layout import COPIES, LOG, MAKING
from deeptracker.store.place import Place
from deeptracker.store.tables import ARRAYS
from deeptracker.store.zarrays import NotAnArrayError, read_attributes, read_description


def making_folder(folder: Place, group: str, version: int) -> Any:
    """Where a table is made before it moves into the hierarchy."""
    return folder / MAKING / f"{group.replace('/', '~')}.{version}"


def table_place(folder: Place, group: str, version: int) -> Any:
    """Where a table that counts lies now."""
    making = making_folder(folder, group, version)
    return making if (making / "zarr.json").is_file() else folder.joinpath(LOG, group)


def copy_place(folder: Place, group: str, checksum: str) -> Any:
    """Where the copy of a table lies; the end of the group's path is for people."""
    return folder / COPIES / f"{group.replace('/', '~')[-40:]}.{checksum}.zip"


def growing_of(commit: Commit, group: str) -> Collection[str]:
    """Arrays in the folder of a table that are no part of it: those that grow."""
    growth = commit.groups.get(group)
    return () if growth is None else growth.columns.keys()


def refuse_links(folder: Place) -> None:
    """RunError where something in the hierarchy of a run is a link: whoever writes there would write elsewhere."""
    for here, folders, files in os.walk(folder / LOG) if folder.is_here else ():
        for name in (*folders, *files):
            if os.path.islink(path := os.path.join(here, name)):
                raise RunError(
                    f"{path} is a link, which nothing is written through: put what it leads to in its place"
                )


def arrays_of(place: Place, leave_out: Collection[str]) -> list[str]:
    """Arrays of a group that was written whole: those that it names, where it says so, and those that lie there.

    Parameters
    ----------
    place : its folder.
    leave_out : arrays in its folder that grow.
    """
    named: list[str] = []
    with suppress(OSError, ValueError, DamagedRunError):
        named = plausible.names(read_attributes(place).get(ARRAYS, ()))
    there = {child.name for child in place.iterdir() if child.is_dir() and (child / "zarr.json").is_file()}
    every = sorted(there | set(named))
    return [name for name in every if name not in leave_out and (name in named or not _is_group(place / name))]


def _is_group(place: Place) -> bool:
    try:
        read_description(place)
    except NotAnArrayError:
        return True
    except (OSError, DamagedRunError):
        return False
    return False


__all__ = ["arrays_of", "copy_place", "growing_of", "making_folder", "refuse_links", "table_place"]
