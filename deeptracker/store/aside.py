"""What is damaged is kept before anything takes its place: who knows what else can be read of it some day."""

from __future__ import annotations

from itertools import count

from deeptracker.errors import RunError
from deeptracker.store.place import Place

ASIDE = "damaged"
"""Folder of a run; in it, a file lies where it lay in the run."""


def keep_aside(folder: Place, place: Place) -> None:
    """Keep a copy of a damaged file of a run, beside those that were damaged in its place before.

    Raises
    ------
    RunError, OSError
        There is no place, or no room for it: nothing is to be repaired then.
    """
    try:
        content = place.read_bytes()
    except OSError:  # lost, or the disk gives none of it
        return
    first = (folder / ASIDE).joinpath(*str(place).removeprefix(str(folder)).strip("/").split("/"))
    for number in count(1):
        kept = first if number == 1 else first.with_name(f"{first.name}.{number}")
        if not kept.is_file():
            try:
                kept.put(content)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise RunError(
                    f"{kept}: something lies in its way, and nothing damaged is written over without a copy: move it"
                ) from None
            return
        if kept.read_bytes() == content:
            return


__all__ = ["ASIDE", "keep_aside"]
