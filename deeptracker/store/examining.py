"""What is wrong with one part of a run: metadata, an array, a group that was written whole, a file of the tail."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from itertools import islice

import numpy as np

from deeptracker.errors import DamagedRunError
from deeptracker.store import plausible
from deeptracker.store.checking import damaged_rows, file_name, files_of
from deeptracker.store.commit import Column, TailFile
from deeptracker.store.described import Description
from deeptracker.store.findings import CHANGED, MISSING, NOWHERE, Finding
from deeptracker.store.layout import TAIL
from deeptracker.store.place import Place
from deeptracker.store.sealed import is_sealed, unseal
from deeptracker.store.spans import NOTHING, Thinned
from deeptracker.store.tables import ARRAYS
from deeptracker.store.tail import parts_of_tail
from deeptracker.store.whereabouts import arrays_of
from deeptracker.store.zarrays import NotAnArrayError, read_description

MOST = 200
"""Damaged files of an array that are told one by one."""
NOT_LOOKED_AT = "as damaged as what is before: not looked at"
_AT_ONCE = 64


def metadata_findings(place: Place, group: str, name: str, sealed: bool) -> list[Finding]:
    """What is wrong with the ``zarr.json`` of a group."""
    try:
        raw = (place / "zarr.json").read_bytes()
        document = unseal(raw)
        plausible.names(document["attributes"].get(ARRAYS, ()))
        sound = document["node_type"] == "group" and (is_sealed(raw) or not sealed)
    except FileNotFoundError:
        return [Finding(group, name, NOWHERE, MISSING)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        sound = False
    return [] if sound else [Finding(group, name, NOWHERE, CHANGED)]


def array_findings(
    place: Place,
    group: str,
    name: str,
    sealed: bool,
    rows: int | None = None,
    thinned: Thinned = NOTHING,
    column: Column | None = None,
) -> list[Finding]:
    """What is wrong with one array of the hierarchy.

    Parameters
    ----------
    place : its folder.
    sealed : whether its metadata must have a checksum.
    rows : that count, where the metadata may lag behind.
    thinned : rows that may be gone.
    column : what the marker says of a growing array: with the metadata of another one nothing is found.
    """
    try:
        described = read_description(place)
        sealed_as_it_must = not sealed or is_sealed((place / "zarr.json").read_bytes())
        if not sealed_as_it_must or (column is not None and not _is_of(described, column)):
            return [Finding(group, name, NOWHERE, f"metadata: {CHANGED}")]
    except FileNotFoundError:
        return [Finding(group, name, NOWHERE, f"metadata: {MISSING}")]
    except (OSError, DamagedRunError, NotAnArrayError):
        return [Finding(group, name, NOWHERE, f"metadata: {CHANGED}")]
    count = (described.shape[0] if described.shape else 1) if rows is None else rows
    size = described.file_shape[0] if described.file_shape else 1

    def check(one: tuple[int, ...]) -> Finding | None:
        first = one[0] * size if one else 0
        stop = min(first + size, count)
        try:
            lost = np.flatnonzero(damaged_rows(described, place.joinpath(*file_name(one)).read_bytes()))
        except FileNotFoundError:
            return Finding(group, name, (first, stop), MISSING)
        except OSError as error:
            return Finding(group, name, (first, stop), f"it cannot be read ({error.strerror})")
        if not len(lost):
            return None
        # A chunk past the last row holds nothing that counts: it is named by the last row.
        return Finding(
            group, name, (min(first + int(lost[0]), stop - 1), min(first + int(lost[-1]) + 1, stop)), CHANGED
        )

    def is_gone(one: tuple[int, ...]) -> bool:
        ends = one[0] * size, min((one[0] + 1) * size, count) - 1  # the log may have been cut back within it
        return bool(thinned) and bool(thinned.covers(ends).all())

    places, out = (one for one in files_of(described, rows) if not (one and is_gone(one))), []
    while some := list(islice(places, _AT_ONCE)):
        out += [found for found in place.at_once(check, some) if found is not None]
        if len(out) > MOST:  # hundreds of files: the marker tells of rows that there are not
            first = some[-1][0] * size if some[-1] else 0
            return [*out[:MOST], Finding(group, name, (first, count), NOT_LOOKED_AT)]
    return out


def _is_of(described: Description, column: Column) -> bool:
    """Whether an array is of a growing variable."""
    own = described.dims, described.dtype, described.shape[1:]
    return own == (column.dims, np.dtype(column.dtype), column.shape)


def group_findings(place: Place, group: str, leave_out: Collection[str], sealed: bool) -> Iterator[Finding]:
    """What is wrong with a group that was written whole; ``leave_out``: arrays in its folder that grow."""
    yield from metadata_findings(place, group, "", sealed)
    if not place.is_dir():
        return
    for name in arrays_of(place, leave_out):
        yield from array_findings(place / name, group, name, sealed)


def tail_findings(folder: Place, file: TailFile) -> list[Finding]:
    """What is wrong with one file of the tail; with its header or with bytes that belong to no array, all of it."""
    spans = {group: (start, start + count) for group, (start, count) in file.spans.items()}

    def whole(problem: str) -> list[Finding]:
        return [Finding(group, f"{TAIL}/{file.name}", rows, problem) for group, rows in spans.items()]

    try:
        content = (folder / TAIL / file.name).read_bytes()
    except FileNotFoundError:
        return whole(MISSING)
    except OSError as error:
        return whole(f"it cannot be read ({error.strerror})")
    parts = parts_of_tail(content) if len(content) == file.size else None
    if parts is None:
        return whole(CHANGED)
    return [
        Finding(group, name, spans[group], CHANGED)
        for (group, name), (crc, view) in parts.items()
        if group in spans and zlib.crc32(view) != crc
    ]


__all__ = ["NOT_LOOKED_AT", "array_findings", "group_findings", "metadata_findings", "tail_findings"]
