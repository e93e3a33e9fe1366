"""Tables of a run once more: little, but nothing else tells what they hold, and without them no row can be read.

Each has a zip file beside the hierarchy, nothing packed in it, so that any tool can take the files of the table out.
The marker has its checksum, and so says which copy is that of the table that counts. Pictures of images are left out:
they are large, and a run does without.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import google_crc32c

from deeptracker.errors import DamagedRunError, UnreachableError
from deeptracker.schema import group_of
from deeptracker.store import plausible
from deeptracker.store.checking import file_name, files_of
from deeptracker.store.commit import Commit
from deeptracker.store.examining import group_findings
from deeptracker.store.layout import COPIES
from deeptracker.store.place import Place
from deeptracker.store.whereabouts import arrays_of, copy_place, growing_of, table_place
from deeptracker.store.zarrays import NotAnArrayError, read_description

_REFUSALS = (
    zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, OSError, EOFError, OverflowError, struct.error,
)  # fmt: skip


def is_optional(group: str, name: str) -> bool:
    """Whether a run does without an array of a table."""
    declared = group_of(group)
    return declared is not None and name in declared and declared[name].optional


def make_copy(folder: Place, place: Place, group: str, leave_out: Collection[str] = ()) -> str:
    """Write the copy of a table that is sound, not durably; returns its checksum.

    Parameters
    ----------
    folder, place : the run, and the folder of the table.
    leave_out : arrays in its folder that grow.
    """
    names = list(_files(place, group, leave_out))
    contents = place.at_once(lambda name: place.joinpath(*name.split("/")).read_bytes(), names)
    raw = pack(dict(zip(names, contents, strict=True)))
    copy_place(folder, group, checksum(raw)).put(raw)
    return checksum(raw)


def with_copies(folder: Place, commit: Commit) -> Commit:
    """Write the missing copies of sound tables, durably; returns the state that says so, not saved.

    What a disk refuses is made another time.
    """
    made = {}
    for group, version in commit.tables.items():
        with suppress(OSError, UnreachableError, DamagedRunError, NotAnArrayError):
            if group in commit.copies and copy_place(folder, group, commit.copies[group]).is_file():
                continue
            place, growing = table_place(folder, group, version), growing_of(commit, group)
            if not any(group_findings(place, group, growing, commit.schema > 1)):
                made[group] = make_copy(folder, place, group, growing)
    if not made:
        return commit
    folder.sync([folder / COPIES])
    return replace(commit, copies={**commit.copies, **made})


def drop_copies(folder: Place, commit: Commit) -> None:
    """Remove copies that a commit does not name."""
    named = {copy_place(folder, *item).name for item in commit.copies.items()}
    with suppress(OSError, UnreachableError):
        there = list((folder / COPIES).iterdir()) if (folder / COPIES).is_dir() else []
        (folder / COPIES).drop(one.name for one in there if one.name not in named and one.is_file())


def read_copy(folder: Place, commit: Commit, group: str) -> dict[str, bytes]:
    """The files that the copy of a table holds; none where there is no copy: name below its folder → content.

    Raises
    ------
    OSError
        It is lost, or the disk does not give it.
    DamagedRunError
        It is not what was written.
    """
    if group not in commit.copies:
        return {}
    raw = copy_place(folder, group, commit.copies[group]).read_bytes()
    if checksum(raw) != commit.copies[group]:
        raise DamagedRunError("its checksum does not fit its bytes")
    found = unpack(raw)
    growing = growing_of(commit, group)
    if any(name in growing or is_optional(group, name) for name in (file.partition("/")[0] for file in found)):
        raise DamagedRunError("it holds more than a table")
    return found


def differing(place: Place, copied: Mapping[str, bytes]) -> list[str]:
    """Names of the files of a copy that lie otherwise, or not at all, in the folder of the table."""

    def lies(name: str) -> bool:
        try:
            return bool(place.joinpath(*name.split("/")).read_bytes() == copied[name])
        except OSError:
            return False

    return [name for name in copied if not lies(name)]


def _files(place: Place, group: str, leave_out: Collection[str]) -> Iterator[str]:
    """Files of a table, below its folder."""
    yield "zarr.json"
    for name in arrays_of(place, leave_out):
        if not is_optional(group, name):
            yield f"{name}/zarr.json"
            yield from ("/".join((name, *file_name(one))) for one in files_of(read_description(place / name)))


def checksum(raw: bytes) -> str:
    """That of a copy, as a marker has it."""
    return f"{google_crc32c.value(raw):08x}"


def pack(files: Mapping[str, bytes]) -> bytes:
    """Files as the bytes of a copy: name below the table's folder → content."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def unpack(raw: bytes) -> dict[str, bytes]:
    """The files that a copy holds: name below the table's folder → content.

    Raises
    ------
    DamagedRunError
        It holds anything but the files of a table, or would take more room than it has.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            if sum(one.file_size for one in members) > len(raw) or any(one.compress_type for one in members):
                raise DamagedRunError("it holds more than it is")
            return {_of_a_table(one.filename): archive.read(one) for one in members}
    except _REFUSALS as error:
        raise DamagedRunError("it is no copy of a table") from error


def _of_a_table(name: str) -> str:
    """The name of a file of a table, as it is: metadata of the group or of an array, or the values of an array."""
    array, _, rest = name.partition("/")
    if name != "zarr.json":
        plausible.name(array)
        kind, *place = rest.split("/")
        if rest != "zarr.json" and not (kind == "c" and all(part.isascii() and part.isdecimal() for part in place)):
            raise ValueError("no file of a table")
    return name


__all__ = [
    "checksum",
    "differing",
    "drop_copies",
    "is_optional",
    "make_copy",
    "pack",
    "read_copy",
    "unpack",
    "with_copies",
]
