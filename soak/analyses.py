"""Two analyses of one run at once, one killed, readers and a repair beside them: the result is that of one."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.analysis import analyze
from deeptracker.errors import LockedRunError, RunError
from deeptracker.following import follow
from deeptracker.schema.derived import STAGES
from deeptracker.store import LogWriter, open_run, verify
from deeptracker.testing import simulate
from soak.disks import derived
from soak.figures import Figure

SIZES: dict[str, Any] = {"model": "tiny", "iterations": 120, "images": 20, "passes": 10, "classes": 3, "seed": 5}


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """So many rounds in a folder, a quarter as many in a bucket."""
    from soak.buckets import server

    found = folders(times, seed, folder)
    with server():
        expected = _alone(str(folder / "other"))
        return found + _rounds(f"s3://soak/analyses-{seed}/run", max(1, times // 4), seed, "bucket", expected)


def folders(times: int, seed: int, folder: Path) -> list[Figure]:
    """In a folder alone."""
    return _rounds(str(folder / "run"), times, seed, "folder", _alone(str(folder / "alone")))


def _alone(path: str) -> dict[str, bytes]:
    """What one analysis makes of the run."""
    simulate(path, **SIZES)
    analyze(path)
    return derived(path)


def _rounds(path: str, times: int, seed: int, where: str, expected: dict[str, bytes]) -> list[Figure]:
    simulate(path, **SIZES)
    context, draw = mp.get_context("spawn"), random.Random(seed)
    wrong, seen = Counter[str](), Counter[str]()
    stop, results = context.Event(), context.Queue()
    reader = context.Process(target=_read, args=(path, stop, results))
    reader.start()
    for number in range(times):
        whats = [_analyse, draw.choice([_analyse, _analyse, _follow, _repair])]
        if number % 3 == 2:
            whats.append(_write)
        gate = context.Barrier(len(whats) + 1)
        said = context.Queue()
        some = [context.Process(target=what, args=(path, gate, said)) for what in whats]
        for process in some:
            process.start()
        gate.wait(300)
        killed = draw.random() < 0.4
        if killed:
            time.sleep(draw.uniform(0.1, 1.0) * (1 if where == "folder" else 5))
            assert some[0].pid is not None
            os.kill(some[0].pid, signal.SIGKILL)
            seen["killed"] += 1
        for process in some:
            process.join()
        while not said.empty():
            what = said.get()
            wrong[what] += what not in ("done", "refused")
            seen[what] += what in ("done", "refused")
        if not killed and not open_run(path).stages:
            wrong["nobody analysed it"] += 1
        # Whoever was killed or refused: what counts is whole, and one more analysis is as one alone.
        wrong["damage"] += len(verify(path))
        now = derived(analyze(path).path)
        wrong["another result than of one analysis"] += now != expected and _write not in whats
        if _write in whats:  # the run has grown: what an analysis of it alone comes to
            analyze(path, stages=STAGES)
            expected = derived(path)
    stop.set()
    reads, mixed = results.get(timeout=300)
    reader.join()
    wrong.update(mixed)
    return [
        Figure(
            f"two analyses at once, one killed, beside a writer, --follow, verify --repair, {where}",
            f"{times} rounds",
            f"{seen['done']} ended, {seen['refused']} refused in a line, {seen['killed']} killed; {reads:,} reads of "
            "open runs whose stages were replaced",
            wrong.total(),
            "results spoilt" + "".join(f"; {what} ({n})" for what, n in (+wrong).items()),
        )
    ]


def _reported(work: Callable[[str], object]) -> Callable[..., None]:
    def run(path: str, gate: Any, said: Any) -> None:
        gate.wait(300)
        try:
            work(path)
            said.put("done")
        except LockedRunError as error:
            said.put("refused" if "\n" not in str(error) else f"more than a line: {error}")
        except Exception as error:
            said.put(f"{work.__name__}: {type(error).__name__}: {error}"[:200])

    return run


def _analyse(path: str, gate: Any, said: Any) -> None:
    """All stages anew."""
    _reported(lambda path: analyze(path, stages=STAGES))(path, gate, said)


def _follow(path: str, gate: Any, said: Any) -> None:
    """``deeptracker analyze --follow``."""
    _reported(lambda path: next(iter(follow(path)), None))(path, gate, said)


def _repair(path: str, gate: Any, said: Any) -> None:
    """``deeptracker verify --repair``, which has nothing to repair."""

    def repair(path: str) -> None:
        if found := verify(path, repair=True):
            raise RuntimeError(f"repaired what was whole: {found[0]}")

    _reported(repair)(path, gate, said)


def _write(path: str, gate: Any, said: Any) -> None:
    """A recording that goes on."""

    def record(path: str) -> None:
        with LogWriter(path, flush_secs=0.05) as writer:
            at = (writer.last("scalars") or 0) + 1
            for step in range(at, at + 20):
                writer.append("scalars", step, {"loss": float(step)})
                time.sleep(0.05)

    _reported(record)(path, gate, said)


def _read(path: str, stop: Any, results: Any) -> None:
    """Keep runs open while their stages are replaced; each read is whole, or told to refresh."""
    reads, wrong = 0, Counter[str]()
    known: dict[tuple[str, int, str], np.ndarray] = {}
    kept: list[Any] = []
    while not stop.is_set():
        kept = [*kept[-3:], open_run(path)]
        for run in kept:
            for group in (g for g in run.groups if g.split("/")[0] in STAGES):
                stage = group.split("/")[0]
                reads += 1
                try:
                    dataset = run.dataset(group)
                    name = next((str(n) for n, v in dataset.data_vars.items() if v.dtype.kind in "fi"), None)
                    if name is None:
                        continue
                    values = dataset[name].values
                except RunError as error:
                    wrong[f"{type(error).__name__}: {error}"[:200]] += "refresh()" not in str(error)
                    continue
                except Exception as error:
                    wrong[f"{type(error).__name__}: {error}"[:200]] += 1
                    continue
                before = known.setdefault((group, run.stages[stage]["version"], name), values)
                same = np.array_equal(before, values, equal_nan=values.dtype.kind == "f")
                wrong["values of another version"] += not same
        time.sleep(0.1)  # the analyses are to get on
    results.put((reads, dict(+wrong)))


__all__ = ["attack"]
