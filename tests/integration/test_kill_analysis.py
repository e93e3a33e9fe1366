"""An analysis that is killed half-way leaves the result before it, and the next one is as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deeptracker import Run, analyze, open_run
from deeptracker.testing import simulate

PROGRAM = """
import os, signal, sys
from deeptracker import analyze
from deeptracker.store import zarrays
seen, kill = 0, int(sys.argv[2])
write = zarrays.Writable.write
async def counted(self, key, values):
    global seen
    seen += 1
    if seen == kill:
        os.kill(os.getpid(), signal.SIGKILL)
    await write(self, key, values)
zarrays.Writable.write = counted
analyze(sys.argv[1])
print(seen)
"""


def run_program(path: Path, kill: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM, str(path), str(kill)], capture_output=True, text=True)


def derived(run: Run) -> dict[tuple[str, str], np.ndarray]:
    groups = [group for group in run.groups if group.split("/")[0] in run.stages]
    return {(group, str(name)): v.values for group in groups for name, v in run.dataset(group).variables.items()}


def litter(run: Run) -> list[str]:
    """Versions of stages that no marker names."""
    folders = [
        child
        for stage in ("index", "anomalies", "correlation")
        for child in (run.path / "log.zarr" / stage).iterdir()
    ]
    return [str(f) for f in folders if f.name.isdigit() and int(f.name) != run.stages[f.parent.name]["version"]]


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, int]:
    path = tmp_path_factory.mktemp("whole") / "run"
    simulate(path, model="tiny", iterations=700, images=60, passes=70, classes=3, seed=5)
    done = run_program(path, 0)
    assert done.returncode == 0, done.stderr
    return open_run(path), int(done.stdout)


def test_analysis__that_was_killed_is_done_again_to_the_same_bytes(
    never_killed: tuple[Run, int], tmp_path: Path
) -> None:
    whole, writes = never_killed
    path = tmp_path / "run"
    simulate(path, model="tiny", iterations=700, images=60, passes=70, classes=3, seed=5)
    known: set[str] = set()
    for share in (0.3, 0.8):  # of all writes; most are those of the index
        killed = run_program(path, max(1, int(share * writes)))
        assert killed.returncode in (-signal.SIGKILL, 0), killed.stderr
        run = open_run(path)
        assert known <= set(run.stages)
        known = set(run.stages)
        for key, values in derived(run).items():
            np.testing.assert_array_equal(values, derived(whole)[key], err_msg=str(key))
    run = analyze(path)
    one, other = derived(whole), derived(run)
    assert one.keys() == other.keys()
    for key, values in one.items():
        np.testing.assert_array_equal(other[key], values, err_msg=str(key))
    assert not litter(run)
    assert not list(run.path.rglob("scratch"))
