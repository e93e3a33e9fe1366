"""A process that records without end, and what it must leave wherever it is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from deeptracker.store import open_run

VIEW = "validation/test/raw"
IMAGES = 20_000

_PROGRAM = f"""
import sys
import numpy as np
from deeptracker.store import LogWriter

writer = LogWriter(sys.argv[1], flush_secs=float(sys.argv[2]))
lasts = [writer.last(group) for group in ("{VIEW}", "scalars")]
start = 0 if None in lasts else min(lasts) + 1
writer.cut(start)  # what reached one group only is dropped
print("ready", start, flush=True)
for i in range(start, 1_000_000):
    values = (np.arange({IMAGES}) + i) % 300
    answers = {{"predicted": values, "correct": values % 2, "loss": (values / 8).astype(np.float16)}}
    writer.append("{VIEW}", i, answers)
    writer.append("scalars", i, {{"loss": i / 4, "learning_rate": np.array([0.1, i])}})
    if i % 7 == 0:
        writer.flush()
        print("committed", i, flush=True)
    if i % 50 == 0:
        writer.describe({{"seen": i}})
"""


@contextmanager
def recording(path: str | Path, flush_secs: float = 0.02) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process, which says each row that is committed, and the row from which it goes on; killed at the end."""
    command = [sys.executable, "-c", _PROGRAM, str(path), str(flush_secs)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        said, start = child.stdout.readline().split()
        assert said == "ready"
        yield child, int(start)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def check(path: str | Path, at_least: int) -> int:
    """Rows that both groups have, each with the numbers that were written; answers reach ``at_least``.

    The recording drops on its return what had reached one group only.
    """
    run = open_run(path)
    answers, scalars = run.dataset(VIEW), run.dataset("scalars")
    positions = answers["validation"].values
    assert positions[-1] >= at_least
    np.testing.assert_array_equal(positions, np.arange(len(positions)))
    expected = (np.arange(IMAGES)[None, :] + positions[:, None]) % 300
    np.testing.assert_array_equal(answers["predicted"].values, expected)
    np.testing.assert_array_equal(answers["loss"].values, (expected / 8).astype(np.float16))
    steps = scalars["iteration"].values
    np.testing.assert_array_equal(steps, np.arange(len(steps)))
    np.testing.assert_array_equal(scalars["loss"].values, steps / 4)
    np.testing.assert_array_equal(scalars["learning_rate"].values[:, 1], steps)
    return min(len(positions), len(steps))
