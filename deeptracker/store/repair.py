"""Putting right what can be put right of a damaged run, and saying what is lost. Nothing is invented.

Markers and tables are restored from their copies. Metadata that follow from the marker are written again. Of another
damaged file the chunks that are as they were written stay; the rest reads as missing, and the marker says so. Results
of the analysis are dropped, since they can be made again. Every damaged file is kept, below ``damaged``.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from deeptracker import conform
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.schema.derived import STAGES
from deeptracker.store.analysing import analysing
from deeptracker.store.arrays import RowFiles
from deeptracker.store.aside import ASIDE, keep_aside
from deeptracker.store.commit import Commit, Growth, save_commit
from deeptracker.store.condition import copy_findings, derived, look, read_marker
from deeptracker.store.copies import drop_copies, with_copies
from deeptracker.store.disk import remove_thinned
from deeptracker.store.examining import NOT_LOOKED_AT, array_findings
from deeptracker.store.faults import told
from deeptracker.store.findings import NOWHERE, Finding
from deeptracker.store.layout import COMMIT, COPIES, COPY, LOCK, LOG, MAKING, TAIL, is_plain
from deeptracker.store.layout import STAGES as MARKER
from deeptracker.store.migration import brought_up
from deeptracker.store.place import Place
from deeptracker.store.positions import positions
from deeptracker.store.remarks import REMARKS
from deeptracker.store.rescue import losing, rescue_file, rescue_tail
from deeptracker.store.restoring import COPIED, IN_THE_WAY, restored
from deeptracker.store.shards import LATE, describe_array, fill_of
from deeptracker.store.spans import NOTHING
from deeptracker.store.stage import load_stages, save_stages
from deeptracker.store.twice import copy_name, mend_twice, twice_findings
from deeptracker.store.whereabouts import growing_of, making_folder, refuse_links
from deeptracker.store.zarrays import Filling, make_group

MISSING_NOW = "repaired: what could not be read is missing from now on"
MADE_AGAIN = "made again"
DROPPED = "dropped; analyze makes it again"
_MOST_BYTES = 1 << 30
"""Of a file that is made again: none of ours is as large, and a run may come from anywhere."""


def mend(folder: Place) -> list[Finding]:
    """Repair a run; see the module.

    Returns
    -------
    What was found, each with what was done about it; nothing done means that only a copy of the run helps.

    Raises
    ------
    LockedRunError
        A writer, or an analysis, holds the run.
    DamagedRunError
        Neither the marker nor its copy can be understood.
    RunError
        The disk takes no copy of what is damaged, or nothing that is made again.
    """
    lock = (folder / LOCK).lock(folder)
    try:
        with told(folder):
            refuse_links(folder)
            commit, marker = read_marker(folder)
            found = [_restored(folder, commit, one) for one in marker]
            _sweep(folder, commit)
            repair = Repair(folder, commit)
            wrong = look(folder, repair.commit)
            recorded = [one for one in wrong if one.group.split("/")[0] not in {"", *STAGES}]
            found += repair.all(recorded)
            copied = [one for one in wrong if one.variable.startswith(f"{COPIES}/")]
            found += repair.copies(copied)
            commit = repair.commit
    finally:
        lock.release()
    return found + _derived(folder, commit, [one for one in wrong if one not in recorded + copied])


def _restored(folder: Place, commit: Commit, finding: Finding) -> Finding:
    """A marker and its copy are each other's."""
    keep_aside(folder, folder / finding.variable)
    if finding.variable == COMMIT:
        (folder / COMMIT).marker().write([(folder / COPY).read_bytes()])
        return finding.after(COPIED)
    (folder / COPY).put((folder / COMMIT).read_bytes())
    return finding.after(MADE_AGAIN)


def _sweep(folder: Place, commit: Commit) -> None:
    """Remove what a killed writer left."""
    named = {file.name for file in commit.tail}
    if (folder / TAIL).is_dir():
        (folder / TAIL).drop([child.name for child in (folder / TAIL).iterdir() if child.name not in named])
    tables = {making_folder(folder, *item) for item in commit.tables.items()}
    for child in (folder / MAKING).iterdir() if (folder / MAKING).is_dir() else ():
        if child not in tables and not child.name.startswith(LATE):
            child.remove()
    remove_thinned(folder, commit)


class Repair:
    """The repair of what was recorded, which the caller has locked.

    Parameters
    ----------
    folder, commit : the run.
    """

    def __init__(self, folder: Place, commit: Commit) -> None:
        self.folder, self.commit = folder, commit
        if commit.schema < SCHEMA_VERSION:
            self._save(brought_up(folder, commit))

    def all(self, findings: Iterable[Finding]) -> list[Finding]:
        """Repair them, tables and metadata first, whose rows tell of others; the marker says at once what is lost."""
        findings = sorted(findings, key=lambda one: one.rows != NOWHERE)
        tables: dict[str, list[Finding]] = {}
        in_tail, others, out = [], [], []
        for one in findings:
            growing = one.variable in growing_of(self.commit, one.group)
            if self._is_in_tail(one):
                in_tail.append(one)
            elif one.group in self.commit.tables and not growing:
                tables.setdefault(one.group, []).append(one)
            else:
                others.append(one)
        for group, some in tables.items():
            commit, after = restored(self.folder, self.commit, group, some)
            out += after
            if commit != self.commit:
                self._save(commit)
        for one in others:
            try:
                out += self._one(one)
            except IN_THE_WAY:
                out.append(one)
        return out + (self._tail(in_tail) if in_tail else [])

    def copies(self, findings: list[Finding]) -> list[Finding]:
        """Copies of tables are made again of the tables, where these are sound."""
        for one in findings:
            with suppress(*IN_THE_WAY):
                keep_aside(self.folder, self.folder.joinpath(*one.variable.split("/")))
                (self.folder / COPIES).drop([one.variable.removeprefix(f"{COPIES}/")])
        if findings:
            self._save(with_copies(self.folder, self.commit))
            drop_copies(self.folder, self.commit)
        left = {
            one.variable for group in self.commit.copies for one in copy_findings(self.folder, self.commit, group)
        }
        return [one if one.variable in left else one.after(MADE_AGAIN) for one in findings]

    def _save(self, commit: Commit) -> None:
        """Make a state count, and remove the files of the tail that it no longer names."""
        stale = {file.name for file in self.commit.tail} - {file.name for file in commit.tail}
        self.commit = replace(commit, generation=self.commit.generation + 1)
        raw = save_commit((self.folder / COMMIT).marker(), self.commit)
        if self.folder.is_here or commit.closed:  # else the writer keeps none up to date
            (self.folder / COPY).put(raw)
        (self.folder / TAIL).drop(stale)

    def _is_in_tail(self, finding: Finding) -> bool:
        growth = self.commit.groups.get(finding.group)
        if growth is None or not (finding.variable in growth.columns or finding.variable.startswith(f"{TAIL}/")):
            return False  # rows of a table beside it, such as the edges of bins, are no records
        return finding.rows[1] > max(growth.shards, finding.rows[0]) >= growth.shards

    def _one(self, finding: Finding) -> list[Finding]:
        group, name = finding.group, finding.variable
        growth = self.commit.groups.get(group)
        if name == "zarr.json":
            self._group(group)
            return [finding.after(MADE_AGAIN)]
        if growth is not None and name in growth.columns:
            return self._array(finding, growth) if finding.rows == NOWHERE else [self._file(finding, growth)]
        return [finding]

    def _group(self, group: str) -> None:
        """Metadata of a group that holds nothing of its own."""
        place = self.folder / LOG if group == LOG else self.folder.joinpath(LOG, group)
        keep_aside(self.folder, place / "zarr.json")
        attributes: dict[str, Any] = {}
        if group == LOG:
            attributes = dict(self.commit.attributes)
        elif group in self.commit.groups:
            attributes = {"description": conform.declaration(group).description}
        make_group(place, attributes)

    def _array(self, finding: Finding, growth: Growth) -> list[Finding]:
        """Metadata of a growing array: they follow from the marker. What its files hold is then looked at."""
        group, name = finding.group, finding.variable
        place = self.folder.joinpath(LOG, group, name)
        keep_aside(self.folder, place / "zarr.json")
        describe_array(place, group, name, growth, growth.shards)
        self.folder.sync([place])
        thinned = NOTHING if is_plain(growth.columns[name].shape, growth.columns[name].dims) else growth.thinned
        rest = array_findings(place, group, name, True, growth.shards, thinned)
        return [finding.after(MADE_AGAIN), *(self._file(one, growth) for one in rest)]

    def _file(self, finding: Finding, growth: Growth) -> Finding:
        """One file of a growing array, chunk by chunk."""
        group, name, axis = finding.group, finding.variable, growth.axis
        files = RowFiles(self.folder.joinpath(LOG, group, name))
        if finding.problem == NOT_LOOKED_AT or prod(files.file_shape) * files.dtype.itemsize > _MOST_BYTES:
            return finding
        number = finding.rows[0] // files.file_rows
        first, stop = number * files.file_rows, min((number + 1) * files.file_rows, growth.shards)
        if name == axis:
            known = positions(self.folder, self.commit, group, first, stop)
            if known is None:
                return finding
            rows: Any = known
        else:
            rows, lost = rescue_file(files, first, stop, fill_of(group, name, growth))
        keep_aside(self.folder, files.file(number))
        if name != axis:
            self._save(losing(self.commit, group, {name: lost}))
        filling, batch = Filling(), (self.folder / MAKING / "repair").batch(self.folder / LOG)
        chunk = files.described.chunks[0]
        block = np.full((-(-len(rows) // chunk) * chunk, *files.row_shape), files.described.fill, files.dtype)
        block[: len(rows)] = rows
        files.replace(number, block, filling, batch)
        filling.finish()
        batch.finish()
        return finding.after("made again: these positions follow from those around" if name == axis else MISSING_NOW)

    def _tail(self, findings: list[Finding]) -> list[Finding]:
        mark = f"{TAIL}/"
        bad = {one.variable.removeprefix(mark) for one in findings if one.variable.startswith(mark)}
        for file in self.commit.tail:
            keep_aside(self.folder, self.folder / TAIL / file.name)
        commit, lost, dropped = rescue_tail(self.folder, self.commit, bad)
        for group, gone in lost.items():
            commit = losing(commit, group, gone)
        self._save(commit)
        done = f"{MISSING_NOW}; {dropped} rows whose positions are unknown are left out" if dropped else MISSING_NOW
        return [finding.after(done) for finding in findings]


def _derived(folder: Place, commit: Commit, findings: list[Finding]) -> list[Finding]:
    """Markers come back from their copies. What else is wrong with the analysis is dropped, remarks go aside."""
    out = []
    for name in (MARKER, REMARKS):
        mine = [one for one in findings if not one.group and one.variable in (name, copy_name(name))]
        if mine and twice_findings(folder, name) and mend_twice(folder, name):
            out += [one.after(COPIED if one.variable == name else MADE_AGAIN) for one in mine]
            findings = [one for one in findings if one not in mine]
            findings += derived(folder, commit) if name == MARKER else []
    for finding in findings:
        if finding.variable == REMARKS:
            keep_aside(folder, folder / REMARKS)
            folder.drop([REMARKS, copy_name(REMARKS)])
            out.append(finding.after(f"moved to {ASIDE}"))
    findings = [one for one in findings if one.variable != REMARKS]
    if findings and any(growth.thinned for growth in commit.groups.values()):
        # What thinned rows were is known there alone: dropped, it could not be made again.
        keep = "it holds what was thinned: restore it from a copy, or delete it by hand and analyze"
        return out + [replace(one, problem=f"{one.problem}; {keep}") for one in findings]
    if findings:
        with analysing(folder):
            findings = derived(folder, commit)  # of what the analysis left that held the lock until now
            _drop_stages(folder, {one.group.split("/")[0] for one in findings})
    return out + [one.after(DROPPED) for one in findings]


def _drop_stages(folder: Place, broken: set[str]) -> None:
    stages = {} if "" in broken else load_stages(folder)
    save_stages(folder, {name: entry for name, entry in stages.items() if name not in broken})
    for name in broken & set(stages):
        folder.joinpath(LOG, name).remove()
        # What comes next gets a number of its own: somebody may have this one open.
        for place in (folder.joinpath(LOG, name), folder.joinpath(LOG, name, str(stages[name]["version"]))):
            make_group(place, {})


__all__ = ["mend"]
