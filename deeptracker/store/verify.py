"""Reading every byte of a run against its checksums; and dropping what can be made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deeptracker.errors import DamagedRunError, one_line
from deeptracker.store.arrays import row_files
from deeptracker.store.commit import Commit, load_commit
from deeptracker.store.disk import making_folder, remove_thinned
from deeptracker.store.joined import JoinedArray
from deeptracker.store.layout import ANALYSIS_LOCK, LOCK, LOG, MAKING, TAIL
from deeptracker.store.layout import STAGES as MARKER
from deeptracker.store.place import Place, run_place
from deeptracker.store.stage import load_stages, save_stages
from deeptracker.store.tail import forget
from deeptracker.store.zarrays import NotAnArrayError

_MOST_DAMAGED = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One damaged part of a run; ``rows`` is [first, last + 1) along the first axis."""

    group: str
    variable: str
    rows: tuple[int, int]
    problem: str
    repaired: bool = False

    def __str__(self) -> str:
        where = "/".join(part for part in (self.group, self.variable) if part)
        rows = f", rows {self.rows[0]} to {self.rows[1] - 1}" if self.rows[1] > self.rows[0] else ""
        return one_line(
            f"{where}{rows}: {self.problem}{' (dropped; analyze makes it again)' if self.repaired else ''}"
        )


def verify(path: str | Path | Place, *, repair: bool = False) -> list[Finding]:
    """Read everything that is committed, and compare every checksum.

    Parameters
    ----------
    path : the run.
    repair : drop damaged derived stages, and files that a killed writer left; what was recorded is never touched.

    Returns
    -------
    list of Finding
        One for each damaged block of rows, empty for a sound run.

    Raises
    ------
    NotARunError
        The path leads to no run.
    LockedRunError
        A writer holds the run that is to be repaired.
    """
    folder = run_place(path)
    commit = load_commit(folder)
    forget()
    row_files.cache_clear()
    findings = [*_growing(folder, commit), *_tables(folder, commit)]
    derived = list(_stages(folder, commit))
    if repair:
        derived = _repair(folder, commit, derived)
    return findings + derived


def _growing(folder: Place, commit: Commit) -> Iterator[Finding]:
    for group, growth in commit.groups.items():
        # Positions first: where hundreds of blocks of them are damaged, the marker tells of rows that there are not.
        for name in sorted(growth.columns, key=lambda name: name != growth.axis):
            array, damaged = JoinedArray(folder, commit, group, name), 0
            for start in range(0, growth.rows, growth.shard_rows):
                stop = min(start + growth.shard_rows, growth.rows)
                try:
                    array.rows(slice(start, stop))
                except DamagedRunError as error:
                    yield Finding(group, name, (start, stop), _cause(error))
                    damaged += 1
                if damaged >= _MOST_DAMAGED:
                    break
            if damaged >= _MOST_DAMAGED:
                yield Finding(group, "", (stop, growth.rows), "as damaged as what is before: not looked at")
                break


def _tables(folder: Place, commit: Commit) -> Iterator[Finding]:
    for group, version in commit.tables.items():
        making = making_folder(folder, group, version)
        place = making if making.is_dir() else folder / LOG / group
        growth = commit.groups.get(group)
        yield from _arrays(place, group, set() if growth is None else set(growth.columns), (commit.run, version))


def _stages(folder: Place, commit: Commit) -> Iterator[Finding]:
    try:
        stages = load_stages(folder)
    except DamagedRunError:
        yield Finding("", MARKER, (0, 0), "the marker of the derived stages cannot be understood")
        return
    for stage, entry in stages.items():
        for group in entry["groups"]:
            place = folder / LOG / stage / str(entry["version"]) / group.partition("/")[2]
            yield from _arrays(place, group, set(), (commit.run, group, entry["version"]))


def _arrays(place: Place, group: str, leave_out: set[str], history: object) -> Iterator[Finding]:
    if not (place / "zarr.json").is_file():
        yield Finding(group, "", (0, 0), "the group is missing")
        return
    for child in sorted((c for c in place.iterdir() if c.is_dir() and c.name not in leave_out), key=lambda c: c.name):
        try:
            files = row_files(child, history)
        except NotAnArrayError:
            continue
        except (OSError, DamagedRunError) as error:
            yield Finding(group, child.name, (0, 0), f"its metadata are damaged ({error.__cause__ or error})")
            continue
        rows, damaged = files.shape[0] if 0 not in files.shape else 0, 0
        for start in range(0, rows, files.file_rows):
            stop = min(start + files.file_rows, rows)
            try:
                files.read(slice(start, stop), tuple(slice(None) for _ in files.row_shape))
            except DamagedRunError as error:
                yield Finding(group, child.name, (start, stop), _cause(error))
                damaged += 1
            if damaged >= _MOST_DAMAGED:
                yield Finding(group, child.name, (stop, rows), "as damaged as what is before: not looked at")
                break


def _cause(error: Exception) -> str:
    text = str(error.__cause__ or error)
    missing = "missing" in text or "No such file" in text
    return "a file is missing" if missing else "bytes are not what was written"


def _repair(folder: Place, commit: Commit, findings: list[Finding]) -> list[Finding]:
    lock = (folder / LOCK).lock(folder)
    try:
        commit = load_commit(folder)  # as the writer left it that held the lock until now
        named = {file.name for file in commit.tail}
        if (folder / TAIL).is_dir():
            (folder / TAIL).drop([child.name for child in (folder / TAIL).iterdir() if child.name not in named])
        tables = {making_folder(folder, *item) for item in commit.tables.items()}
        for child in (folder / MAKING).iterdir() if (folder / MAKING).is_dir() else ():
            if child not in tables:
                child.remove()
        remove_thinned(folder, commit)
    finally:
        lock.release()
    if not findings:
        return findings
    if any(growth.thinned for growth in commit.groups.values()):
        # What thinned rows were is known there alone: dropped, it could not be made again.
        keep = "it holds what was thinned: restore it from a copy, or delete it by hand and analyze"
        return [Finding(f.group, f.variable, f.rows, f"{f.problem}; {keep}") for f in findings]
    lock = (folder / ANALYSIS_LOCK).lock(folder)
    try:
        broken = {finding.group.split("/")[0] for finding in findings}
        stages = {} if "" in broken else load_stages(folder)
        for name in broken & set(stages):
            stages.pop(name)
        save_stages(folder, stages)
        for name in broken - {""}:
            (folder / LOG / name).remove()
    finally:
        lock.release()
    return [Finding(f.group, f.variable, f.rows, f.problem, repaired=True) for f in findings]


__all__ = ["Finding", "verify"]
