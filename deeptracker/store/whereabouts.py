"""Where tables lie, their copies too, and which arrays a table has."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from deeptracker.errors import DamagedRunError
from deeptracker.store.commit import Commit
from deeptracker.store.layout import COPIES, LOG, MAKING
from deeptracker.store.place import Place
from deeptracker.store.zarrays import NotAnArrayError, read_description


def making_folder(folder: Place, group: str, version: int) -> Any:
    """Where a table is made before it moves into the hierarchy."""
    return folder / MAKING / f"{group.replace('/', '~')}.{version}"


def table_place(folder: Place, group: str, version: int) -> Any:
    """Where a table that counts lies now."""
    making = making_folder(folder, group, version)
    return making if making.is_dir() else folder.joinpath(LOG, group)


def copy_place(folder: Place, group: str, version: int) -> Any:
    """Where the copy of a table lies."""
    return folder / COPIES / f"{group.replace('/', '~')}.{version}.zip"


def growing_of(commit: Commit, group: str) -> Collection[str]:
    """Arrays in the folder of a table that are no part of it: those that grow."""
    growth = commit.groups.get(group)
    return () if growth is None else growth.columns.keys()


def arrays_of(place: Place, named: Collection[str], leave_out: Collection[str]) -> list[str]:
    """Arrays of a group that was written whole: those that it names, and those that lie there.

    Parameters
    ----------
    place, named : its folder, and what its attribute says.
    leave_out : arrays in its folder that grow.
    """
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


__all__ = ["arrays_of", "copy_place", "growing_of", "making_folder", "table_place"]
