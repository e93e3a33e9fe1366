"""Many readers, and others who would write, beside one writer that does everything a writer can do."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.errors import LockedRunError, RunError
from deeptracker.store import LogWriter, layout, open_run, verify
from deeptracker.store.spans import Span
from deeptracker.store.thinning import delete_shards
from soak.figures import Figure

VIEW = "validation/test/raw"
IMAGES = 900
READERS = 3


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """So many reads beside a writer in a folder, a tenth as many in a bucket."""
    from soak.buckets import server

    rows, layout.SHARD_ROWS = layout.SHARD_ROWS, (16, 64)  # a run of minutes crosses many shards
    try:
        found = beside(str(folder / "run"), times, seed, "folder")
        with server():
            return found + beside(f"s3://soak/readers-{seed}/run", max(READERS, times // 10), seed, "bucket")
    finally:
        layout.SHARD_ROWS = rows


def beside(path: str, times: int, seed: int, where: str) -> list[Figure]:
    """Reads by several processes, and attempts to write by others, while this process writes."""
    context = mp.get_context("spawn")
    stop, results = context.Event(), context.Queue()
    share = -(-times // READERS)
    names = [f"reader {number}" for number in range(READERS)]
    others = [context.Process(target=_read, args=(path, share, seed + n, results)) for n in range(READERS)]
    others.append(context.Process(target=_try_to_write, args=(path, stop, results)))
    with LogWriter(path, flush_secs=0.01) as first:
        _rows(first, 0, 0, 40)
        first.flush()
    for process in others:
        process.start()
    done: list[dict[str, Any]] = []
    writes: Counter[str] = Counter()
    draw, at = random.Random(seed), 40
    while len(done) < len(names):
        at = _session(path, draw, at, writes)
        while not results.empty():
            done.append(results.get())
    stop.set()
    done += [results.get(timeout=300) for _ in range(len(others) - len(done))]
    for process in others:
        process.join()
    wrong = sum((Counter(one["wrong"]) for one in done), Counter(f"verify: {found}" for found in verify(path)))
    total = sum((Counter(one["seen"]) for one in done), Counter[str]())
    did = ", ".join(f"{n:,} {name}" for name, n in writes.items())
    asked = total.pop("asked to write", 0)
    told = total.pop("told to refresh", 0)
    generations = total.pop("commits", 0)
    return [
        Figure(
            f"{READERS} processes read a run while it is written, {where}",
            f"{total['reads']:,} reads",
            f"{generations:,} commits seen, {told} told to refresh, beside {did}",
            wrong.total() - wrong["a second writer"],
            "torn, mixed or wrong" + "".join(f"; {what} ({n})" for what, n in wrong.items()),
        ),
        Figure(
            f"another writer tries (threads, processes, forks, symlinks), {where}",
            f"{asked:,} attempts",
            f"{asked - wrong['a second writer']:,} refused",
            wrong["a second writer"],
            "let in",
        ),
    ]


def _rows(writer: LogWriter, cut: int, start: int, stop: int) -> None:
    """Each value says which row it is of, and after how many cuts it was written."""
    for i in range(start, stop):
        values = (np.arange(IMAGES) + i) % 300
        answers = {"predicted": values, "correct": values % 2, "loss": np.full(IMAGES, cut % 2048, np.float16)}
        writer.append(VIEW, i, answers)
        writer.append("scalars", i, {"loss": float(i), "learning_rate": np.array([0.1, cut])})


def _session(path: str, draw: random.Random, at: int, writes: Counter[str]) -> int:
    """One writer from resuming to closing; returns where the next goes on."""
    with LogWriter(path, flush_secs=0.01) as writer:
        cuts = int(writer._disk.commit.cuts)
        for _ in range(draw.randint(1, 6)):
            step = draw.randint(1, 30)
            _rows(writer, cuts, at, at + step)
            at += step
            writes["rows"] += step
            if draw.random() < 0.5:
                writer.flush()
            if draw.random() < 0.15 and at > 60:
                at = draw.randint(at // 2, at)
                writer.cut(at)
                cuts = int(writer._disk.commit.cuts)
                writes["cuts"] += 1
            if draw.random() < 0.2:
                writer.describe({"seen": at})
            time.sleep(draw.choice([0, 0.02]))
    writes["sessions"] += 1
    run = open_run(path)
    growth = run.commit.groups[VIEW]
    if draw.random() < 0.3 and growth.rows > 3 * growth.shard_rows:
        first = draw.randrange(growth.shards // growth.shard_rows) * growth.shard_rows
        if not growth.thinned.covers(np.arange(first, first + growth.shard_rows)).any():
            delete_shards(run, {VIEW: [Span(first, first + growth.shard_rows, 1)]})
            writes["thinned"] += 1
    return at


def _read(path: str, times: int, seed: int, results: Any) -> None:
    """Open, read all groups of one commit, compare; keep some runs open and read them again later."""
    seen, wrong, draw = Counter[str](), Counter[str](), random.Random(seed)
    kept: list[Any] = []
    generations: set[int] = set()
    for _ in range(times):
        seen["reads"] += 1
        try:
            run = draw.choice(kept) if kept and draw.random() < 0.3 else open_run(path)
            generations.add(run.generation)
            for what in _compare(run, draw):
                wrong[what] += 1
            if draw.random() < 0.1:
                kept = [*kept[-3:], run]
        except RunError as error:
            if type(error) is RunError and ("refresh()" in str(error) or "try again" in str(error)):
                seen["told to refresh"] += 1
            else:
                wrong[f"{type(error).__name__}: {error}"[:200]] += 1
        except Exception as error:
            wrong[f"{type(error).__name__}: {error}"[:200]] += 1
    seen["commits"] = len(generations)
    results.put({"seen": dict(seen), "wrong": dict(wrong)})


def _compare(run: Any, draw: random.Random) -> list[str]:
    """What of a run is not as one commit has it."""
    scalars, answers = run.dataset("scalars"), run.dataset(VIEW)
    wrong = []
    for group, dataset, axis in (("scalars", scalars, "iteration"), (VIEW, answers, "validation")):
        growth = run.commit.groups[group]
        rows = dataset[axis].values
        if len(rows) != growth.rows or not np.array_equal(rows, np.arange(len(rows))):
            wrong.append(f"{group}: rows of another commit")
    if abs(scalars.sizes["iteration"] - answers.sizes["validation"]) > 1:
        wrong.append("groups of different commits")
    rows, first = answers["validation"].values, draw.randrange(answers.sizes["validation"])
    part = slice(first, first + draw.randint(1, 200))
    gone = run.commit.groups[VIEW].thinned.covers(np.arange(len(rows)))[part]
    found = answers["predicted"][part].values
    expected = (np.arange(IMAGES)[None, :] + rows[part, None]) % 300
    if not np.array_equal(found[~gone], expected[~gone]) or (found[gone] != -1).any():
        wrong.append("values that were not written")
    # Rows of both groups were written between the same two cuts, and never after a later one.
    cuts = answers["loss"][part].values.astype(np.float64)
    rates = scalars["learning_rate"].values[:, 1][part]
    same = min(len(rates), len(cuts))
    kept = ~gone[:same]
    if not np.array_equal(cuts[:same, 0][kept], rates[:same][kept]) or (cuts[~gone] > run.commit.cuts).any():
        wrong.append("rows of before and after a cut")
    if not np.array_equal(scalars["loss"].values, np.arange(scalars.sizes["iteration"], dtype=np.float64)):
        wrong.append("a loss that was not written")
    return wrong


def _try_to_write(path: str, stop: Any, results: Any) -> None:
    """Hold the run as the only writer for a moment, and meanwhile try in every other way; give way to the first."""
    own = path + "-own"
    asked, wrong = 0, 0
    ways = _ways(own)
    with LogWriter(own, flush_secs=0.05) as writer:
        at = 0
        while not stop.is_set():
            _rows(writer, 0, at, at + 2)
            at += 2
            for way in ways:
                asked += 1
                wrong += not way()
    positions = open_run(own).dataset("scalars")["iteration"].values
    wrong += not np.array_equal(positions, np.arange(at))
    results.put({"seen": {"asked to write": asked}, "wrong": {"a second writer": wrong}})


def _ways(path: str) -> list[Callable[[], bool]]:
    """Attempts to write what is being written; each says whether it was refused."""
    paths: list[str] = [path, f"{path}/log.zarr"]
    if not path.startswith("s3:"):
        os.symlink(path, path + "-link")
        paths += [path + "-link", path + "-link/log.zarr"]

    def refused(place: str) -> bool:
        try:
            LogWriter(place, background=False)._lock.release()
        except LockedRunError:
            return True
        return False

    def in_a_thread() -> bool:
        said: list[bool] = []
        thread = threading.Thread(target=lambda: said.append(refused(path)))
        thread.start()
        thread.join()
        return said == [True]

    def in_a_fork() -> bool:
        child = os.fork()
        if not child:
            os._exit(0 if refused(path) else 1)
        return os.waitpid(child, 0)[1] == 0

    forks = [] if path.startswith("s3:") else [in_a_fork]  # the client of a bucket has threads that a fork lacks
    return [*(lambda place=place: refused(place) for place in paths), in_a_thread, *forks]


__all__ = ["attack"]
