"""Tables of a run once more: little, but nothing else tells what they hold, and without them no row can be read.

Each has one zip file beside the hierarchy, unpacked, so that any tool can take the files of the table out of it; its
comment is the checksum of all bytes before. Pictures of images are left out: they are large, and a run does without.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

import google_crc32c

from deeptracker.errors import DamagedRunError, UnreachableError
from deeptracker.schema import group_of
from deeptracker.store import plausible
from deeptracker.store.checking import file_name, files_of
from deeptracker.store.commit import Commit
from deeptracker.store.examining import group_findings
from deeptracker.store.layout import COPIES
from deeptracker.store.place import Place
from deeptracker.store.tables import ARRAYS
from deeptracker.store.whereabouts import arrays_of, copy_place, growing_of, table_place
from deeptracker.store.zarrays import NotAnArrayError, read_attributes, read_description

_SEAL = 8
_REFUSALS = (
    zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, OSError, EOFError, OverflowError, struct.error,
)  # fmt: skip


def is_optional(group: str, name: str) -> bool:
    """Whether a run does without an array of a table."""
    declared = group_of(group)
    return declared is not None and name in declared and declared[name].optional


def keep_copy(folder: Place, place: Place, group: str, version: int, leave_out: Collection[str] = ()) -> None:
    """Write the copy of a table that is sound, not durably.

    Parameters
    ----------
    folder, place : the run, and the folder of the table.
    leave_out : arrays in its folder that grow.
    """
    names = list(_files(place, group, leave_out))
    contents = place.at_once(lambda name: place.joinpath(*name.split("/")).read_bytes(), names)
    copy_place(folder, group, version).put(pack(dict(zip(names, contents, strict=True))))


def keep_copies(folder: Place, commit: Commit) -> None:
    """Write the missing copies of sound tables, and remove those of no table.

    What a disk refuses is made another time.
    """
    wanted = {copy_place(folder, *item).name: item for item in commit.tables.items()}
    with suppress(OSError, UnreachableError, DamagedRunError, NotAnArrayError):
        there = {child.name for child in (folder / COPIES).iterdir()} if (folder / COPIES).is_dir() else set()
        (folder / COPIES).drop(there - wanted.keys())
        for name in wanted.keys() - there:
            group, version = wanted[name]
            place, growing = table_place(folder, group, version), growing_of(commit, group)
            if not any(group_findings(place, group, growing, commit.schema > 1)):
                keep_copy(folder, place, group, version, growing)
        if wanted.keys() - there:
            folder.sync([folder / COPIES])


def _files(place: Place, group: str, leave_out: Collection[str]) -> Iterator[str]:
    """Files of a table, below its folder."""
    yield "zarr.json"
    for name in arrays_of(place, read_attributes(place).get(ARRAYS, ()), leave_out):
        if not is_optional(group, name):
            yield f"{name}/zarr.json"
            yield from ("/".join((name, *file_name(one))) for one in files_of(read_description(place / name)))


def pack(files: Mapping[str, bytes]) -> bytes:
    """Files as the bytes of a copy: name below the table's folder → content."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.comment = b"0" * _SEAL
    body = out.getvalue()[:-_SEAL]
    return body + _sum(body)


def unpack(raw: bytes) -> dict[str, bytes]:
    """The files that a copy holds: name below the table's folder → content.

    Raises
    ------
    DamagedRunError
        It is not what was written, or would lead out of the folder, or would take more room than it has.
    """
    if raw[-_SEAL:] != _sum(raw[:-_SEAL]):
        raise DamagedRunError("its checksum does not fit its bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            if sum(one.file_size for one in members) > len(raw) or any(one.compress_type for one in members):
                raise DamagedRunError("it holds more than it is")
            return {_inside(one.filename): archive.read(one) for one in members}
    except _REFUSALS as error:
        raise DamagedRunError("it is no copy of a table") from error


def read_copy(folder: Place, group: str, version: int) -> dict[str, bytes]:
    """The files that the copy of a table holds.

    Raises
    ------
    FileNotFoundError, OSError
        There is none, or the disk does not give it.
    DamagedRunError
        It is not what was written.
    """
    return unpack(copy_place(folder, group, version).read_bytes())


def differing(place: Place, copied: Mapping[str, bytes]) -> list[str]:
    """Names of the files of a copy that lie otherwise, or not at all, in the folder of the table."""

    def lies(name: str) -> bool:
        try:
            return bool(place.joinpath(*name.split("/")).read_bytes() == copied[name])
        except OSError:
            return False

    return [name for name in copied if not lies(name)]


def _inside(name: str) -> str:
    """The name of a file of a table, as it is: of an array's folder, or the group's own."""
    *above, last = name.split("/")
    for part in (*above, last if last != "zarr.json" else "metadata"):
        plausible.name(part)
    return name


def _sum(body: bytes) -> bytes:
    return f"{google_crc32c.value(body):08x}".encode()


__all__ = ["differing", "is_optional", "keep_copies", "keep_copy", "pack", "read_copy", "unpack"]
