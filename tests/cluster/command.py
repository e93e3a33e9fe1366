"""The command line, as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Server = Callable[..., Path]
"""Starts a program of these tests beside them; see the fixture ``server``."""

_MAIN = "from deeptracker.cli import main; main()"


def deeptracker(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``deeptracker`` with variables of the environment beside those that are set."""
    command = [sys.executable, "-c", _MAIN, *map(str, words)]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What it said of a mistake: one line, with exit code 1, and nothing else."""
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("deeptracker: ")
    return lines[0]
