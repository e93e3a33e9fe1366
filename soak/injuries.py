"""Damage on disk: bytes flipped, files cut, files lost. Is it noticed, named, kept out of the numbers, repaired?"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deeptracker import analyze
from deeptracker.app.explorer import Explorer
from deeptracker.errors import DeepTrackerError
from deeptracker.schema.derived import STAGES
from deeptracker.store import LogWriter, Run, layout, open_run, verify
from deeptracker.testing import simulate
from soak.figures import Figure

LOCKS = ("lock", "analysis.lock", "remarks.json.lock")
"""Files that hold nothing: their names and the kernel's locks on them are what counts."""
EVERY_VIEW = 10
"""The explorer is built of one injured run in so many."""
Truth = dict[str, xr.Dataset]


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """Injure copies of two runs, one a time; one of them is closed and analysed, one was never closed."""
    runs = [closed(folder / "closed"), unclosed(folder / "open")]
    truths = [{group: run.dataset(group).load() for group in run.groups} for run in runs]
    draw = random.Random(seed)
    unnoticed = unnamed = invented = unrepaired = 0
    for number in range(times):
        which = draw.random() < 0.3
        run, truth = runs[which], truths[which]
        copy = folder / f"{number}"
        shutil.copytree(run.path, copy, copy_function=os.link)
        injured = injure(copy, draw)
        found = verify(copy)
        unnoticed += not found
        unnamed += not any(names(one.group, one.variable, injured) for one in found)
        before = honest(copy, truth, injured, draw)
        if number % EVERY_VIEW == 0:
            show(copy)
        mended = verify(copy, repair=True)
        unrepaired += any(not one.repaired for one in mended)
        again = verify(copy)
        after = honest(copy, truth, injured, draw, repaired=True)
        settled = len(again) <= sum(not one.repaired for one in mended)
        if not (before and after and settled):
            invented += 1
            told = f"honest {before}, repaired {after}, settled {settled}"
            print(f"injury {number} of run {which}, {injured}: {told}; {[str(one) for one in mended[:3]]}")
        shutil.rmtree(copy)
    injuries = f"{times:,} random injuries (a byte flipped, a file cut, a file lost)"
    return [
        Figure("damage on disk", injuries, "noticed by `verify`", unnoticed, "unnoticed"),
        Figure("damage on disk", injuries, "named by group and variable", unnamed, "unnamed"),
        Figure(
            "damage on disk, read and repaired", injuries, f"{times - unrepaired:,} repaired, the others told",
            invented, "wrong numbers read",
        ),
    ]  # fmt: skip


def show(path: Path) -> None:
    """Every section of the explorer, which says in a line of ours what it cannot read; any other error is a bug."""
    with suppress(DeepTrackerError):
        Explorer(open_run(path), {})


def closed(path: Path) -> Run:
    """A run of several shards, analysed, with a remark."""
    before, layout.SHARD_ROWS = layout.SHARD_ROWS, (64, 128)
    try:
        simulate(path, model="tiny", iterations=300, images=40, passes=40, classes=3, seed=5, thumbnails=True)
    finally:
        layout.SHARD_ROWS = before
    run = analyze(path)
    run.remark(1, "confirmed", "seen by both of us")
    return run.refresh()


def unclosed(path: Path) -> Run:
    """A run whose recording just ended: part of its rows is in shards, part in several files of the tail."""
    simulate(path, model="tiny", iterations=200, images=20, passes=20, classes=3, seed=6)
    writer = LogWriter(path, background=False)
    draw = np.random.default_rng(1)
    groups = {g: growth for g, growth in writer._disk.commit.groups.items() if growth.rows}
    for step in range(200, 260, 2):  # positions that do not follow from their neighbours
        for group, growth in groups.items():
            row = {n: draw.random(c.shape).astype(c.dtype) for n, c in growth.columns.items() if n != growth.axis}
            writer.append(group, step, row)
        if step % 20 == 0:
            writer._flush()
    writer._flush()
    writer._lock.release()
    writer._closed = True
    return open_run(path)


def injure(run: Path, draw: random.Random) -> str:
    """Flip, cut or lose one file of a run, as likely for being large as for being one; its path below the run."""
    files = sorted(file for file in run.rglob("*") if file.is_file() and file.name not in LOCKS)
    sizes = [file.stat().st_size for file in files]
    file = draw.choices(files, sizes if draw.random() < 0.5 else None)[0]
    content = bytearray(file.read_bytes())
    file.unlink()  # it shares its bytes with the run that it was copied from
    kind = draw.choices(("flip", "cut", "lose"), (3, 1, 1))[0] if content else "lose"
    if kind == "flip":
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del content[draw.randrange(len(content)) :]
    if kind != "lose":
        file.write_bytes(content)
    return file.relative_to(run).as_posix()


def place(injured: str) -> tuple[str, str]:
    """Group and variable of a file of a run; a marker and the like have no group."""
    first, *names = injured.split("/")
    if first != layout.LOG:
        return "", injured
    names = names[: names.index("c")] if "c" in names else names
    if names[0] in STAGES:
        names = [names[0], *names[2:]]
    if names[-1] == "zarr.json":
        names = names[:-1]
    return "/".join(names[:-1]), names[-1] if names else ""


def names(group: str, variable: str, injured: str) -> bool:
    """Whether a finding says where the injury is: the array, or the group whose metadata it is."""
    if injured.startswith(f"{layout.TAIL}/"):
        return bool(group)
    wanted = "/".join(part for part in place(injured) if part)
    told = "/".join(part for part in (group, variable) if part)
    return told.removesuffix("/zarr.json").removeprefix(layout.LOG).strip("/") == wanted or (
        # Groups above those of a stage are named by the stage.
        group in STAGES and variable == "zarr.json" and injured.endswith("zarr.json") and wanted.startswith(group)
    )


def honest(path: Path, truth: Truth, injured: str, draw: random.Random, *, repaired: bool = False) -> bool:
    """Whether all that can be read is what was recorded, or said to be missing; an error that says so is honest too.

    Parameters
    ----------
    injured : the injured file, of whose group alone is read; of a file of no group, all are.
    repaired : the run must open.
    """
    try:
        run = open_run(path)
        lost = run.lost
    except DeepTrackerError:
        return not repaired
    group, name = place(injured)
    wanted = [g for g in truth if not group or g in (group, f"{group}/{name}") or g.startswith(f"{group}/{name}/")]
    for one in wanted:
        if not run.has(one):
            continue
        mine = lost[lost["group"] == one]
        gone = {n: some[["first", "last"]].to_numpy() for n, some in mine.groupby("variable")}
        try:
            stored = run.dataset(one)
            if not same(stored, truth[one], gone) or not same(*parted(stored, truth[one], draw), gone):
                return False
        except DeepTrackerError:
            continue
    return True


def parted(stored: xr.Dataset, truth: xr.Dataset, draw: random.Random) -> tuple[xr.Dataset, xr.Dataset]:
    """A random part of both, as a screen would ask for it."""
    where: dict[Any, slice] = {}
    for dim, size in stored.sizes.items():
        if size and truth.sizes.get(dim) == size:
            start = draw.randrange(size)
            where[dim] = slice(start, start + 1 + draw.randrange(size))
    return stored.isel(where), truth.isel(where, missing_dims="ignore")


def same(stored: xr.Dataset, truth: xr.Dataset, gone: Mapping[Any, np.ndarray[Any, Any]]) -> bool:
    """Whether values are those that were written, or missing where that is said; rows are found by their position."""
    axis = next((a for a in ("iteration", "validation") if a in stored.coords and a in truth.dims), None)
    if axis is not None:
        there = truth.indexes[axis].get_indexer(stored.indexes[axis])
        if (there < 0).any():
            return False
        truth = truth.isel({axis: there})
    for name, variable in stored.variables.items():
        found, wanted = variable.values, truth.variables[name].values
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            return False
        missing = np.zeros(len(found) if found.ndim else 1, bool)
        for first, last in gone.get(name, ()):
            missing |= (stored[axis].values >= first) & (stored[axis].values <= last)
        unlike = ~(found == wanted)
        if found.dtype.kind == "f":
            unlike &= ~(np.isnan(found) & np.isnan(wanted))
        if not unlike.any():
            continue
        blank = np.isnan(found) if found.dtype.kind == "f" else found == (0 if found.dtype.kind in "ub" else -1)
        if (unlike & ~blank).any() or unlike[~missing].any():
            return False
    return True


__all__ = ["attack"]
