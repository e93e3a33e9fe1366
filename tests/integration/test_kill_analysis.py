"""An analysis that is killed half-way leaves the result before it, and the next one is as if nothing had happened."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deeptracker import Run, analyze, open_run
from deeptracker.schema.derived import STAGES
from deeptracker.testing import simulate

PROGRAM = """
import json, os, signal, sys
from deeptracker import analyze
from deeptracker.store import stage, zarrays
path, victim, moment, anew = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
seen, now = {}, None

def count():
    seen[now] = seen.get(now, 0) + 1
    if (now, seen[now]) == (victim, moment):
        os.kill(os.getpid(), signal.SIGKILL)

write, enter, save = zarrays.Writable.write, stage.StageWriter.__enter__, stage.save_stages

async def counted_write(self, key, values):
    count()
    await write(self, key, values)

def named_enter(self):
    global now
    now = self.stage
    return enter(self)

def counted_save(*arguments):
    count()  # all is written, nothing says so
    save(*arguments)
    count()  # all is said, the version before is still there

zarrays.Writable.write, stage.StageWriter.__enter__, stage.save_stages = counted_write, named_enter, counted_save
analyze(path, stages=anew or None)
print(json.dumps(seen))
"""

Files = dict[str, bytes]


def recorded(path: Path) -> Path:
    simulate(path, model="tiny", iterations=400, images=60, passes=50, classes=3, seed=5)
    return path


def run_program(path: Path, victim: str = "", moment: int = 0, *anew: str) -> subprocess.CompletedProcess[str]:
    """Analyse in another process, which dies at so many writes into a stage."""
    program = [sys.executable, "-c", PROGRAM, str(path), victim, str(moment), *anew]
    return subprocess.run(program, capture_output=True, text=True)


def derived(run: Run) -> Files:
    """Every file of the current stages, less the number of their version."""
    log = run.path / "log.zarr"
    roots = [log / stage / str(run.stages[stage]["version"]) for stage in run.stages]
    files = (file for root in roots for file in root.rglob("*") if file.is_file())
    return {re.sub(r"^(\w+)/\d+/", r"\1/", file.relative_to(log).as_posix()): file.read_bytes() for file in files}


def left_over(run: Run) -> list[Path]:
    """Versions of stages that no marker names, and what was to be handed on inside a stage."""
    folders = [child for stage in STAGES for child in (run.path / "log.zarr" / stage).glob("[0-9]*")]
    old = [f for f in folders if int(f.name) != run.stages[f.parent.name]["version"]]
    return old + list((run.path / "log.zarr").rglob("scratch"))


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Files, dict[str, int]]:
    """What an analysis makes, and how often it writes into each stage."""
    path = recorded(tmp_path_factory.mktemp("whole") / "run")
    done = run_program(path)
    assert done.returncode == 0, done.stderr
    return derived(open_run(path)), json.loads(done.stdout)


def test_analysis__that_was_killed_in_each_stage_is_done_again_to_the_same_bytes(
    never_killed: tuple[Files, dict[str, int]], tmp_path: Path
) -> None:
    whole, writes = never_killed
    path, draw = recorded(tmp_path / "run"), random.Random(7)
    for number, stage in enumerate(STAGES):
        moment = draw.randint(2, writes[stage] - 1)
        killed = run_program(path, stage, moment)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        run = open_run(path)
        assert tuple(run.stages) == STAGES[:number], f"{stage}, write {moment}"
        found = derived(run)
        assert found == {name: whole[name] for name in found}, f"{stage}, write {moment}"
    run = analyze(path)
    assert derived(run) == whole
    assert not left_over(run)


def test_analysis__killed_while_it_is_made_anew_leaves_a_whole_result(
    never_killed: tuple[Files, dict[str, int]], tmp_path: Path
) -> None:
    whole, writes = never_killed
    path, draw = recorded(tmp_path / "run"), random.Random(8)
    versions = {stage: made["version"] for stage, made in analyze(path).stages.items()}
    moments = {
        "index": writes["index"],
        "anomalies": draw.randint(2, writes["anomalies"] - 2),
        "correlation": writes["correlation"] - 1,
    }
    for stage, moment in moments.items():  # the first when the marker names the new one; the last just before that
        killed = run_program(path, stage, moment, stage)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        run = open_run(path)
        assert derived(run) == whole, f"{stage}, write {moment}"
        assert (run.stages[stage]["version"] > versions[stage]) == (stage == "index")
        assert left_over(run)
    run = analyze(path, stages=["correlation"])
    assert derived(run) == whole
    assert not left_over(run)
