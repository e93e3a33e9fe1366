"""The condition of a run: all that counts in it, against its checksums."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from deeptracker.errors import DamagedRunError, NewerRunError, RunError
from deeptracker.store.arrays import RowFiles, row_files
from deeptracker.store.commit import Commit, Growth, load_commit, read_commit
from deeptracker.store.copies import differing, read_copy
from deeptracker.store.examining import (
    NOT_LOOKED_AT,
    array_findings,
    group_findings,
    metadata_findings,
    tail_findings,
)
from deeptracker.store.findings import CHANGED, MISSING, NOWHERE, Finding
from deeptracker.store.joined import read_rows
from deeptracker.store.layout import COMMIT, COPIES, COPY, LOG, TAIL, is_plain
from deeptracker.store.layout import STAGES as MARKER
from deeptracker.store.place import Place
from deeptracker.store.remarks import REMARKS, load_remarks
from deeptracker.store.spans import NOTHING
from deeptracker.store.stage import load_stages
from deeptracker.store.tail import forget
from deeptracker.store.twice import twice_findings
from deeptracker.store.whereabouts import copy_place, growing_of, table_place
from deeptracker.store.zarrays import read_description

Part = tuple[str, str]
"""What is looked at in one piece: its kind and its name."""
_TIME = ("iteration", "iteration_bin", "validation", "validation_bin")


def read_marker(folder: Place) -> tuple[Commit, list[Finding]]:
    """What counts in a run, by its marker or else by the copy of it; and what is wrong with the two."""
    try:
        commit = load_commit(folder)
    except NewerRunError:
        raise
    except DamagedRunError:
        problem = CHANGED if (folder / COMMIT).is_file() else MISSING
        copied = _copy(folder)
        if copied is None:
            raise DamagedRunError(
                f"{folder / COMMIT} is damaged, and so is its copy: restore one of them from a copy of the run"
            ) from None
        return copied, [Finding("", COMMIT, NOWHERE, problem)]
    if not (folder / COPY).is_file():
        expected = commit.schema > 1 and (folder.is_here or commit.closed)
        return commit, [Finding("", COPY, NOWHERE, MISSING)] if expected else []
    return commit, [] if _copy(folder) is not None else [Finding("", COPY, NOWHERE, CHANGED)]


def _copy(folder: Place) -> Commit | None:
    try:
        return read_commit(folder, (folder / COPY).read_bytes())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def look(folder: Place, commit: Commit) -> list[Finding]:
    """Everything that a commit, the marker of the stages and the remarks name.

    A writer may go on meanwhile, and remove what it has put elsewhere: what is wrong is looked at again, by the state
    that counts then, until it is as wrong as before.
    """
    forget()
    row_files.cache_clear()
    wrong, before = _recorded(folder, commit, None), None
    while wrong and wrong.keys() != before:
        before, later = wrong.keys(), _later(folder, commit)
        # Without another commit, only tables may lie elsewhere: they move after it.
        doubted = before if later is not None else {part for part in before if part[0] in ("table", "above")}
        row_files.cache_clear()
        certain = {part: found for part, found in wrong.items() if part not in doubted}
        commit = later or commit
        wrong = certain | (_recorded(folder, commit, doubted) if doubted else {})
    dates = (dated(folder, commit, one) for some in wrong.values() for one in some)
    return [*dates, *derived(folder, commit), *_remarks(folder)]


def _later(folder: Place, commit: Commit) -> Commit | None:
    """The state that counts now, where it is another one."""
    try:
        now = load_commit(folder)
    except RunError:
        return None
    return now if now.generation != commit.generation else None


def _recorded(folder: Place, commit: Commit, only: Collection[Part] | None) -> dict[Part, list[Finding]]:
    """What is wrong, by part; ``only``: parts that are looked at, if not all."""
    parts: dict[Part, list[Finding]] = {}
    for path in _above(commit):
        name = LOG if path == "." else path
        parts["above", path] = metadata_findings(folder.joinpath(LOG, path), name, "zarr.json", commit.schema > 1)
    for group, growth in commit.groups.items():
        if only is None or ("rows", group) in only:
            parts["rows", group] = list(_growing(folder, commit, group, growth))
    files = [file for file in commit.tail if only is None or (TAIL, file.name) in only]
    parts |= zip(
        ((TAIL, one.name) for one in files), folder.at_once(partial(tail_findings, folder), files), strict=True
    )
    for group, version in commit.tables.items():
        if only is None or ("table", f"{group} {version}") in only:
            parts["table", f"{group} {version}"] = table_findings(folder, commit, group)
    for group in commit.copies:
        if only is None or (COPIES, group) in only:
            parts[COPIES, group] = copy_findings(folder, commit, group)
    return {part: found for part, found in parts.items() if found and (only is None or part in only)}


def dated(folder: Place, commit: Commit, finding: Finding) -> Finding:
    """With the positions of its rows, where they can be read."""
    growth, (first, stop) = commit.groups.get(finding.group), finding.rows
    records = growth is not None and (finding.variable in growth.columns or finding.variable.startswith(f"{TAIL}/"))
    if growth is None or not records or stop <= first or finding.variable == growth.axis:
        return finding
    try:
        ends = [int(read_rows(folder, commit, finding.group, growth.axis, n, n + 1)[0]) for n in (first, stop - 1)]
    except DamagedRunError:
        return finding
    return replace(finding, iterations=(ends[0], ends[1]))


def _above(commit: Commit) -> list[str]:
    """The groups above groups, and growing groups themselves where no table lies in them."""
    groups = {path for path, growth in commit.groups.items() if growth.shards} | set(commit.tables)
    own = {path for path in groups if path not in commit.tables}
    above = {str(parent) for path in groups for parent in PurePosixPath(path).parents}
    return sorted(own | above - set(commit.tables))


def _growing(folder: Place, commit: Commit, group: str, growth: Growth) -> Iterator[Finding]:
    # Positions first: where hundreds of files of them are damaged, the others are not looked at.
    for name in sorted(growth.columns, key=growth.axis.__ne__) if growth.shards else ():
        column = growth.columns[name]
        thinned = NOTHING if is_plain(column.shape, column.dims) else growth.thinned
        place = folder.joinpath(LOG, group, name)
        found = array_findings(place, group, name, commit.schema > 1, growth.shards, thinned, column)
        yield from found
        if found and found[-1].problem == NOT_LOOKED_AT:
            break


def table_findings(folder: Place, commit: Commit, group: str) -> list[Finding]:
    """What is wrong with a table: files that are not as they were written, or not as in its copy."""
    place = table_place(folder, group, commit.tables[group])
    found = list(group_findings(place, group, growing_of(commit, group), commit.schema > 1))
    try:
        copied = read_copy(folder, commit, group)
    except (OSError, DamagedRunError):
        return found
    for file in differing(place, copied):
        name = "" if file == "zarr.json" else file.partition("/")[0]
        if all(one.variable != name for one in found):
            lost = not place.joinpath(*file.split("/")).is_file()
            found.append(Finding(group, name, NOWHERE, MISSING if lost else CHANGED))
    return found


def copy_findings(folder: Place, commit: Commit, group: str) -> list[Finding]:
    """What is wrong with the copy of a table."""
    name = f"{COPIES}/{copy_place(folder, group, commit.copies[group]).name}"
    try:
        read_copy(folder, commit, group)
    except FileNotFoundError:
        return [Finding("", name, NOWHERE, MISSING)]
    except (OSError, DamagedRunError):
        return [Finding("", name, NOWHERE, CHANGED)]
    return []


def derived(folder: Place, commit: Commit) -> list[Finding]:
    """What is wrong with the stages that count; an analysis may replace them while they are read."""
    while True:
        before = _marker(folder)
        found = list(_stages(folder, commit))
        if not found or _marker(folder) == before:
            return found


def _marker(folder: Place) -> bytes:
    try:
        content: bytes = (folder / MARKER).read_bytes()
    except FileNotFoundError:
        return b""
    return content


def _stages(folder: Place, commit: Commit) -> Iterator[Finding]:
    yield from (wrong := twice_findings(folder, MARKER))
    if any(one.variable == MARKER for one in wrong):
        return
    try:
        stages = load_stages(folder)
    except NewerRunError:
        raise
    except DamagedRunError:
        yield Finding("", MARKER, NOWHERE, "the marker of the derived stages cannot be understood")
        return
    for stage, entry in stages.items():
        base = folder.joinpath(LOG, stage, str(entry["version"]))
        sealed = entry.get("schema_version", 1) > 1
        paths = [PurePosixPath(group.partition("/")[2]) for group in entry["groups"]]
        above = {str(parent) for path in paths for parent in path.parents} - {str(path) for path in paths}
        for place in [base.parent, *(base / path for path in sorted(above))]:
            yield from metadata_findings(place, stage, "zarr.json", sealed)
        for group, path in zip(entry["groups"], paths, strict=True):
            yield from (
                _of_bins(base / str(path), one) for one in group_findings(base / str(path), group, (), sealed)
            )


def _of_bins(place: Place, finding: Finding) -> Finding:
    """With the first iterations of its rows, where it runs along time."""
    first, stop = finding.rows
    if stop <= first:
        return finding
    try:
        axis = read_description(place / finding.variable).dims[0]
        if axis not in _TIME or axis == finding.variable:
            return finding
        positions = RowFiles(place / axis).read(slice(first, stop), ())
    except (OSError, ValueError, DamagedRunError):
        return finding
    return replace(finding, iterations=(int(positions[0]), int(positions[-1])))


def _remarks(folder: Place) -> Iterator[Finding]:
    yield from (wrong := twice_findings(folder, REMARKS))
    if any(one.variable == REMARKS for one in wrong):
        return
    try:
        load_remarks(folder)
    except NewerRunError:
        raise
    except DamagedRunError:
        yield Finding("", REMARKS, NOWHERE, "what was said of the events cannot be understood")


__all__ = ["copy_findings", "derived", "look", "read_marker", "table_findings"]
