"""SLURM: what is submitted, and an analysis by jobs. ``sbatch`` here runs the script in the background."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from command import deeptracker, one_line
from same import assert_same

from deeptracker.cluster import Profile, connect, read_profile
from deeptracker.cluster.workers import ENVIRONMENT
from deeptracker.errors import InputError
from deeptracker.store import Run, open_run

SBATCH = """#!/bin/sh
cp "$1" "$SPOOL/$$.sh"
setsid bash "$SPOOL/$$.sh" > "$SPOOL/$$.log" 2>&1 < /dev/null &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo "$1" >> "$SPOOL/cancelled"
kill -- "-$1"
"""
PROFILE = """
kind: slurm
workers: 2
workers_per_job: 2
memory: 800MiB
partition: long
account: vision
walltime: "01:30:00"
interface: lo
tls: true
shared: {folder}
directives: ["--constraint=broadwell"]
prologue: ["export GREETING='good morning'"]
"""


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the scripts of jobs are kept; ``sbatch`` and ``scancel`` are on the PATH."""
    folder = tmp_path / "spool"
    folder.mkdir()
    for name, content in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SPOOL", str(folder))
    return folder


def test_command__analyses_by_jobs_of_slurm(fresh: Path, alone: Run, spool: Path, tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text(PROFILE.format(folder=tmp_path))
    done = deeptracker("analyze", fresh, "--cluster", profile)
    assert done.returncode == 0, done.stderr
    assert_same(open_run(fresh), alone)
    (script,) = spool.glob("*.sh")
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text().splitlines()
    directives = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")}
    assert directives >= {"-J deeptracker", "-p long", "-A vision", "-t 01:30:00", "--constraint=broadwell"}
    assert directives >= {"-n 1", "--cpus-per-task=2", "--mem=2G"}  # two workers of 800 MiB, in whole GiB
    assert {f"export {name}={value}" for name, value in ENVIRONMENT.items()} < set(lines)
    assert "export GREETING='good morning'" in lines
    assert "--nthreads 1 --memory-limit 800.00MiB --nworkers 2" in lines[-1]
    assert "Registered to:      tls://127.0.0.1" in next(spool.glob("*.log")).read_text()
    assert len((spool / "cancelled").read_text().split()) == 1
    assert not list(tmp_path.glob(".deeptracker-tls-*"))


def test_connect__says_in_one_line_why_there_are_no_jobs(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = Profile(kind="slurm", memory="1GiB", wait=1, settings={"interface": "lo"})
    (spool / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: long' >&2\nexit 1\n")
    with pytest.raises(InputError, match="sbatch did not take the job: sbatch: error: invalid partition"):
        connect(profile).__enter__()
    (spool / "sbatch").write_text("#!/bin/sh\necho Submitted batch job 17\n")
    with pytest.raises(InputError, match=r"0 of 1 workers came within 1 s: look at squeue --me, .* slurm-\*\.out"):
        connect(profile).__enter__()
    with pytest.raises(InputError, match=r"no scheduler for jobs .*'nowhere0'"):
        connect(Profile(kind="slurm", memory="1GiB", settings={"interface": "nowhere0"})).__enter__()
    with pytest.raises(InputError, match="workers is 3, which is no multiple of workers_per_job, 2"):
        connect(Profile(kind="slurm", workers=3, memory="1GiB", settings={"workers_per_job": 2})).__enter__()


def test_command__without_sbatch_is_one_line(fresh: Path, tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("kind: slurm\nmemory: 1GiB\n")
    assert read_profile(profile).settings == {}
    said = one_line(deeptracker("analyze", fresh, "--cluster", profile, PATH="/nowhere"))
    assert "sbatch is not on the PATH" in said
