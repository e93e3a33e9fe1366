"""SIGKILL at random moments while a run is recorded, ingested, analysed: in a folder, and in a bucket.

Victims are forked from a process that has imported everything, so that they are killed at work and not at importing.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from deeptracker import analyze
from deeptracker.errors import DeepTrackerError
from soak import victims
from soak.figures import Figure
from soak.objectstore import ObjectStore

FAILED = -2
"""Told by a victim that ended with an error of its own."""
SEQUENCE = 8
"""Kills of one run before the next one begins."""
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["torch", "deeptracker.analysis", "deeptracker.testing", "soak.victims"])


@dataclass(frozen=True)
class Victim:
    """What is killed.

    Parameters
    ----------
    name : of the work, for people.
    work, check : see ``victims``.
    finish : goes on after the last kill, to the end.
    share : of all kills.
    seconds : until which a kill may come.
    prepare : makes what it works on.
    """

    name: str
    work: Callable[[str, victims.Tell], None]
    check: Callable[[str, int], int]
    finish: Callable[[str], object]
    share: float
    seconds: float
    prepare: Callable[[str], None] | None = None


VICTIMS = (
    Victim("recording", victims.record, victims.check_recorded, lambda run: None, 0.5, 1.5),
    Victim("ingesting", victims.ingest, victims.check_ingested, victims.ingest_on, 0.2, 0.5),
    Victim("analysing", victims.analyse, victims.check_analysed, analyze, 0.3, 3.0, victims.make_recorded),
)


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """Two thirds of the kills on folders, one third on a bucket."""
    victims.make_sources(folder / "checkpoints")
    before = dict(os.environ)
    os.environ[victims.SOURCES] = str(folder / "checkpoints")
    draw, server = random.Random(seed), ObjectStore()
    server.request("PUT", "/kills")
    os.environ.update(server.environment)
    try:
        figures = []
        for where, share in ((str(folder), 2 / 3), ("s3://kills", 1 / 3)):
            for victim in VICTIMS:
                kills = max(1, round(times * share * victim.share))
                figures.append(_attack(victim, kills, f"{where}/{victim.name}", draw))
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)
    return figures


def _attack(victim: Victim, kills: int, where: str, draw: random.Random) -> Figure:
    seen = lost = 0
    for first in range(0, kills, SEQUENCE):
        run = f"{where}-{first}"
        if victim.prepare is not None:
            victim.prepare(run)
        safe = victims.NOTHING
        for _ in range(min(SEQUENCE, kills - first)):
            told = kill(victim.work, run, draw.uniform(0, victim.seconds), draw.random() < 0.8)
            safe = max([safe, *told])
            if FAILED in told:  # it did not go on where it was killed
                lost += 1
                print(f"{run}: {victim.name} failed")
            try:
                victim.check(run, safe)
            except (AssertionError, DeepTrackerError) as error:
                lost += 1
                print(f"{run}: {error}")
        try:
            victim.finish(run)
            seen += victim.check(run, safe)
            victims.settle(run)
        except (AssertionError, DeepTrackerError) as error:
            lost += 1
            print(f"{run}: {error}")
    store = "a bucket" if where.startswith("s3:") else "a folder"
    what = "stages whole" if victim.name == "analysing" else "snapshots whole"
    return Figure(f"{victim.name}, in {store}", f"{kills} SIGKILLs", f"{seen:,} {what} at the end", lost, "lost")


def kill(work: Callable[[str, victims.Tell], None], run: str, seconds: float, wait: bool) -> list[int]:
    """Let it work for some time (``wait``: from its first word on), kill it; what it told until then."""
    ours, theirs = _FORKED.Pipe(duplex=False)
    child = _FORKED.Process(target=_child, args=(work, run, dict(os.environ), theirs))
    child.start()
    theirs.close()
    told: list[int] = []
    try:
        if wait:
            told.append(ours.recv())  # it is at work
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and ours.poll(left):
            told.append(ours.recv())
        child.kill()
        while ours.poll(0):
            told.append(ours.recv())
    except EOFError:
        pass  # it was done, or the last word was cut short
    finally:
        child.kill()
        child.join()
        ours.close()
    return told


def _child(
    work: Callable[[str, victims.Tell], None], run: str, environment: Mapping[str, str], told: Connection
) -> None:
    os.environ.update(environment)
    try:
        work(run, told.send)
    except BaseException:
        told.send(FAILED)
        raise


__all__ = ["attack"]
