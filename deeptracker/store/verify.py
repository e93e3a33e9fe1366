"""Every byte of a run against its checksums: markers, metadata, shards, the tail, notes."""

from __future__ import annotations

from pathlib import Path

from deeptracker.store.condition import look, read_marker
from deeptracker.store.findings import Finding
from deeptracker.store.place import Place, run_place
from deeptracker.store.repair import mend


def verify(path: str | Path | Place, *, repair: bool = False) -> list[Finding]:
    """Read everything that counts, and compare every checksum.

    Parameters
    ----------
    path : the run.
    repair : put right what can be put right, see ``repair.mend``; nothing is invented, and what is damaged is kept
        in the folder ``damaged`` of the run.

    Returns
    -------
    list of Finding
        One for each damaged part of an array or file, empty for a sound run.

    Raises
    ------
    NotARunError
        The path leads to no run.
    DamagedRunError
        The marker of the run is damaged, and so is its copy: nothing tells what counts.
    LockedRunError
        A writer holds the run that is to be repaired.
    """
    folder = run_place(path)
    if repair:
        return mend(folder)
    commit, marker = read_marker(folder)
    return [*marker, *look(folder, commit)]


__all__ = ["Finding", "verify"]
