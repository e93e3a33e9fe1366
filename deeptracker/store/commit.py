"""The commit marker: what of a run counts. Readers cut to it; a starting writer cuts back to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deeptracker.errors import DamagedRunError, InputError, NewerRunError, NotARunError
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.store import plausible
from deeptracker.store.layout import COMMIT, COPY, LOCK, LOG, MAKING, TAIL
from deeptracker.store.place import Marker, Place, run_place
from deeptracker.store.sealed import is_sealed, seal, unseal
from deeptracker.store.spans import NOTHING, Span, Thinned


@dataclass(frozen=True, slots=True)
class Column:
    """One variable of a growing group: dims with the growing one first, and the shape of a row."""

    dims: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Growth:
    """How far a growing group has come: rows in shards, rows in the tail, first and last position; which are gone;
    and of which variables a damage took some rows [start, stop): they read as missing.
    """

    axis: str
    shard_rows: int
    columns: Mapping[str, Column]
    shards: int = 0
    tail: int = 0
    first: int | None = None
    last: int | None = None
    thinned: Thinned = NOTHING
    lost: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All committed rows."""
        return self.shards + self.tail


def cut_lost(lost: Mapping[str, tuple[tuple[int, int], ...]], rows: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """What of lost rows is among the first ``rows``."""
    kept = {name: tuple((a, min(b, rows)) for a, b in spans if a < rows) for name, spans in lost.items()}
    return {name: spans for name, spans in kept.items() if spans}


@dataclass(frozen=True, slots=True)
class TailFile:
    """One raw file of the tail: for each group in it, the first row and the number of rows."""

    name: str
    size: int
    spans: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Commit:
    """One state of a run. ``tables`` says in which generation a table was written, ``copies`` the sum of its copy;
    ``cuts`` counts how often rows were dropped: until it changes, rows stay what they are;
    ``schema`` is the version in which it was found."""

    run: str
    generation: int = 0
    cuts: int = 0
    closed: bool = False
    when: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Growth] = field(default_factory=dict)
    tail: tuple[TailFile, ...] = ()
    tables: Mapping[str, int] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION

    def with_group(self, path: str, growth: Growth) -> Commit:
        """The same with one group's growth replaced."""
        return replace(self, groups={**self.groups, path: growth})


def _encode(commit: Commit) -> bytes:
    groups = {
        path: {
            "axis": growth.axis,
            "shard_rows": growth.shard_rows,
            "shards": growth.shards,
            "tail": growth.tail,
            "first": growth.first,
            "last": growth.last,
            "columns": {
                name: {"dims": column.dims, "dtype": column.dtype, "shape": column.shape}
                for name, column in growth.columns.items()
            },
            **({"thinned": _encode_thinned(growth.thinned)} if growth.thinned else {}),
            **({"lost": dict(growth.lost)} if growth.lost else {}),
        }
        for path, growth in commit.groups.items()
    }
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": commit.run,
        "generation": commit.generation,
        "cuts": commit.cuts,
        "closed": commit.closed,
        "when": commit.when,
        "attributes": dict(commit.attributes),
        "groups": groups,
        "tail": [{"name": file.name, "size": file.size, "spans": dict(file.spans)} for file in commit.tail],
        "tables": dict(commit.tables),
        "copies": dict(commit.copies),
    }
    return seal(document)


def _decode(document: Mapping[str, Any]) -> Commit:
    groups = {
        path: Growth(
            axis=entry["axis"],
            shard_rows=entry["shard_rows"],
            shards=entry["shards"],
            tail=entry["tail"],
            first=entry["first"],
            last=entry["last"],
            columns={
                name: Column(tuple(column["dims"]), column["dtype"], tuple(column["shape"]))
                for name, column in entry["columns"].items()
            },
            thinned=_decode_thinned(entry.get("thinned")),
            lost={name: tuple((a, b) for a, b in spans) for name, spans in entry.get("lost", {}).items()},
        )
        for path, entry in document["groups"].items()
    }
    tail = tuple(
        TailFile(file["name"], file["size"], {group: (a, b) for group, (a, b) in file["spans"].items()})
        for file in document["tail"]
    )
    return Commit(
        run=document["run"],
        generation=document["generation"],
        cuts=document["cuts"],
        closed=document["closed"],
        when=document["when"],
        attributes=document["attributes"],
        groups=groups,
        tail=tail,
        tables=document["tables"],
        copies=document.get("copies", {}),
    )


def _encode_thinned(thinned: Thinned) -> dict[str, Any]:
    return {"spans": [(s.start, s.stop, s.nbytes) for s in thinned.spans], "renewed": thinned.renewed}


def _decode_thinned(entry: Mapping[str, Any] | None) -> Thinned:
    return NOTHING if entry is None else Thinned(tuple(Span(*s) for s in entry["spans"]), entry["renewed"])


def save_commit(marker: Marker, commit: Commit) -> bytes:
    """Make a state count, atomically and durably; ``marker`` is that of ``commit.json``. Returns its bytes."""
    raw = _encode(commit)
    marker.write([raw])
    return raw


def holds_run(path: str | Path | Place) -> bool:
    """Whether a path leads to a run."""
    return (run_place(path) / COMMIT).is_file()


def load_commit(path: str | Path | Place) -> Commit:
    """The state that counts now.

    Raises
    ------
    NotARunError
        Nothing there, an empty folder, or something that is not a run.
    NewerRunError
        Written by a newer DeepTracker.
    DamagedRunError
        The marker cannot be understood.
    """
    folder = run_place(path)
    try:
        raw = (folder / COMMIT).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if has_rows(folder):
            raise DamagedRunError(
                f"{folder / COMMIT} is missing: deeptracker verify {folder} --repair puts its copy in its place"
            ) from None
        raise NotARunError(_why_no_run(folder)) from None
    except PermissionError:
        raise NotARunError(f"{folder / COMMIT} may not be read: check the permissions") from None
    try:
        return read_commit(folder, raw)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise DamagedRunError(
            f"{folder / COMMIT} cannot be understood: deeptracker verify {folder} --repair puts its copy in its place"
        ) from None


def read_commit(folder: Place, raw: bytes) -> Commit:
    """The state that a marker's bytes hold.

    Raises
    ------
    NewerRunError
        Written by a newer DeepTracker.
    ValueError, KeyError, TypeError, AttributeError, OverflowError
        They are not what was written.
    """
    document = unseal(raw)
    version = int(document["schema_version"])
    require_known(folder, version, raw)
    return replace(_decode(plausible.commit(document)), schema=version)


def require_known(folder: Place, version: int, raw: bytes) -> None:
    """NewerRunError of a version to come, ValueError where a marker has lost its checksum."""
    if version > SCHEMA_VERSION:
        raise NewerRunError(
            f"{folder} has schema version {version}, this DeepTracker knows {SCHEMA_VERSION}: "
            "upgrade with pip install --upgrade deeptracker"
        )
    if version > 1 and not is_sealed(raw):
        raise ValueError("it has no checksum")


def has_rows(folder: Place) -> bool:
    """Whether a folder holds what only a run has that was committed: its marker is lost, nothing else."""
    if (folder / COPY).is_file():
        return True
    inside = [child for name in (LOG, TAIL) if (folder / name).is_dir() for child in (folder / name).iterdir()]
    return any(child.name != "zarr.json" for child in inside)


def refuse_foreign(folder: Place) -> None:
    """InputError where a path, at which a run is to begin, holds something else; DamagedRunError of a lost marker."""
    if not folder.exists() or holds_run(folder):
        return
    if folder.is_dir() and has_rows(folder):
        load_commit(folder)
    known = {LOG, LOCK, TAIL, MAKING}
    if not folder.is_dir() or any(c.name not in known and not c.name.startswith(".") for c in folder.iterdir()):
        raise InputError(f"{folder} exists and is not a run: record to another path")


def _why_no_run(folder: Place) -> str:
    remedy = "give the path of a run, such as runs/demo"
    if not folder.exists():
        return f"{folder} does not exist: {remedy}"
    if not folder.is_dir():
        return f"{folder} is a file, not a run: {remedy}"
    if not any(folder.iterdir()):
        return f"{folder} is an empty folder: {remedy}"
    if (folder / LOG).exists():
        return f"{folder} was begun but nothing in it was committed: record anew"
    inside = sorted(child.name for child in folder.iterdir() if (child / COMMIT).is_file())
    if inside:
        return f"{folder} is a folder of runs, not a run: give one of them, such as {folder / inside[0]}"
    return f"{folder} is not a run (it has no {COMMIT}): {remedy}"


def stamp(path: Place) -> tuple[Any, ...]:
    """Changes whenever the marker is replaced; costs one look."""
    seen: tuple[Any, ...] = (path / COMMIT).stamp()
    return seen
