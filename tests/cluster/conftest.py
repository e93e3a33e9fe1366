"""What the tests of workers share: a run, the same analysed in this process, and servers of their own."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Server

from deeptracker.analysis import analyze
from deeptracker.store import Run
from deeptracker.testing import simulate


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody analysed, and that stays so."""
    where = tmp_path_factory.mktemp("runs") / "tiny"
    simulate(where, model="tiny", iterations=310, images=60, passes=50, classes=3, seed=4)
    return where


@pytest.fixture(scope="module")
def path(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that the tests of a file share."""
    return Path(shutil.copytree(original, tmp_path_factory.mktemp("shared") / "tiny"))


@pytest.fixture
def fresh(original: Path, tmp_path: Path) -> Path:
    """A copy that nobody analysed."""
    return Path(shutil.copytree(original, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def alone(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run, analysed by threads of this process."""
    return analyze(shutil.copytree(original, tmp_path_factory.mktemp("alone") / "tiny"))


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server of this folder; gives the folder that it writes to, once the named file is there."""
    running: list[subprocess.Popen[bytes]] = []

    def start(script: str, ready: str, *arguments: str) -> Path:
        folder = tmp_path_factory.mktemp(script.removesuffix(".py"))
        command = [sys.executable, str(Path(__file__).parent / script), str(folder), *arguments]
        with (folder / "server.log").open("wb") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        while not (folder / ready).exists():
            assert running[-1].poll() is None, (folder / "server.log").read_text()
            time.sleep(0.05)
        return folder

    yield start
    for process in running:
        process.terminate()
        process.wait()


@pytest.fixture(autouse=True)
def sockets_of_libraries() -> Iterator[None]:
    """Dask and kr8s leave connections to the garbage collector, which would warn in whatever test comes next."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
