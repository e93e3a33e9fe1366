"""What the tests of workers share: a run, the same analysed in this process, and what "the same" means."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deeptracker.analysis import analyze
from deeptracker.store import Run
from deeptracker.testing import simulate


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("runs") / "tiny"
    simulate(where, model="tiny", iterations=310, images=60, passes=50, classes=3, seed=4)
    return where


@pytest.fixture(scope="module")
def alone(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run, analysed by threads of this process."""
    copy = tmp_path_factory.mktemp("alone") / "tiny"
    shutil.copytree(path, copy)
    return analyze(copy)
