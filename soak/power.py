"""Power cuts at random moments of a recording and of an analysis: what was reported as committed is on the disk."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np

from deeptracker import analyze
from deeptracker.errors import DeepTrackerError, NotARunError
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.store import LogWriter, layout, open_run, verify
from deeptracker.store.layout import COPY
from deeptracker.testing import simulate
from soak.figures import Figure
from soak.platter import Platter

VIEW = "validation/test/raw"
ROWS, IMAGES, EVERY = 120, 300, 3


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """One recording or analysis a cut; three cuts in four are of recordings."""
    draw = random.Random(seed)
    lost, kept, moments = 0, 0, {"record": 0, "analyse": 0}
    for number in range(times):
        kind = "record" if number % 4 else "analyse"
        here = folder / str(number)
        here.mkdir()
        platter = Platter(here)
        platter.at, platter.image = draw.randrange(1, moments[kind] or 400), folder / f"{number}-left"
        platter.draw = random.Random(draw.random())
        safe = (record if kind == "record" else analyse)(here / "run", platter)
        moments[kind] = platter.calls
        if platter.image.exists():
            try:
                there = (check if kind == "record" else check_stages)(platter.image / "run")
                assert there >= safe, f"{there} of {safe} that were reported"
                kept += there
            except (AssertionError, DeepTrackerError) as error:
                lost += 1
                print(f"cut {number}, {kind}, at call {platter.at}: {error}")
            shutil.rmtree(platter.image)
        shutil.rmtree(here)
    return [
        Figure(
            "power cut while recording or analysing", f"{times} cuts at random moments",
            f"{kept:,} snapshots and stages as reported", lost, "lost",
        )
    ]  # fmt: skip


def record(run: Path, platter: Platter) -> int:
    """Rows, tables, attributes, a cut, a close and another start; the number of rows that were safe at the cut."""
    safe = 0
    before, layout.SHARD_ROWS = layout.SHARD_ROWS, (16, 32)
    try:
        with platter.watching():
            for start, stop in ((0, ROWS // 2), (ROWS // 2 - 10, ROWS)):
                writer = LogWriter(run, background=False)
                if platter.calls < (platter.at or 0):
                    safe = min(safe, start)
                writer.cut(start)
                for row in range(start, stop):
                    writer.append(VIEW, row, answers(row))
                    writer.append("scalars", row, {"loss": row / 4, "learning_rate": np.array([0.1, row])})
                    if row % EVERY == 0:
                        writer.flush()
                        if platter.calls < (platter.at or 0):
                            safe = row + 1
                    if row % 20 == 5:
                        writer.describe({"seen": row})
                writer.close()
                if platter.calls < (platter.at or 0):
                    safe = stop
    finally:
        layout.SHARD_ROWS = before
    return safe


def answers(row: int) -> dict[str, np.ndarray]:
    """What a pass answers."""
    values = (np.arange(IMAGES) + row) % 300
    return {"predicted": values, "correct": values % 2, "loss": (values / 8).astype(np.float16)}


def check(run: Path) -> int:
    """Rows that are there, as they were written; recording goes on after them."""
    try:
        opened = open_run(run)
    except NotARunError:
        return 0
    found = [str(one) for one in verify(run) if one.variable != COPY]  # which is never waited for
    assert not found, found[0]
    rows = [opened.dataset(group) for group in (VIEW, "scalars") if opened.has(group)]
    count = min((data.sizes[next(iter(data.sizes))] for data in rows), default=0) if len(rows) == 2 else 0
    if count:
        passes, scalars = (data.isel({next(iter(data.dims)): slice(count)}).load() for data in rows)
        at = passes["validation"].values
        np.testing.assert_array_equal(at, np.arange(count))
        np.testing.assert_array_equal(passes["predicted"].values, [answers(int(n))["predicted"] for n in at])
        np.testing.assert_array_equal(scalars["loss"].values, np.arange(count) / 4)
        np.testing.assert_array_equal(scalars["learning_rate"].values[:, 1], np.arange(count))
    with LogWriter(run, background=False) as writer:
        writer.cut(count)
        writer.append("scalars", 10_000, {"loss": 1.0, "learning_rate": np.array([0.1, 1.0])})
    assert not verify(run)
    return count


def analyse(run: Path, platter: Platter) -> int:
    """A first analysis and a second; how many stages were safe at the cut."""
    simulate(run, model="tiny", iterations=120, images=20, passes=10, classes=3, seed=5)
    safe = 0
    with platter.watching():
        for stage in ("index", "anomalies", "correlation", "index"):
            analyze(run, stages=[stage])
            if platter.calls < (platter.at or 0):
                safe = len(open_run(run).stages)
    return safe


def check_stages(run: Path) -> int:
    """Stages that are there, each whole; the analysis goes on."""
    opened = open_run(run)
    found = [str(one) for one in verify(run) if one.variable != COPY]
    assert not found, found[0]
    assert opened.commit.schema == SCHEMA_VERSION
    analyze(run)
    return len(opened.stages)


__all__ = ["attack"]
