"""Markers that say what was analysed and what was said of events: each has a copy, and is missed when it is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from deeptracker import analyze, open_run
from deeptracker.store import twice, verify
from deeptracker.store.twice import write_twice
from deeptracker.testing import simulate


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("twice") / "run"
    simulate(path, model="tiny", iterations=300, images=20, passes=20, classes=3, seed=5)
    analyze(path).remark(1, "confirmed", "seen by both of us")
    return path


@pytest.fixture
def run(analysed: Path, tmp_path: Path) -> Iterator[Path]:
    return shutil.copytree(analysed, tmp_path / "run")


def said(path: Path) -> tuple[object, object]:
    run = open_run(path)
    return run.stages, [event["remark"] for event in run.event_documents()]


@pytest.mark.parametrize("injury", ["flip", "cut", "lose"])
@pytest.mark.parametrize("name", ["stages.json", "remarks.json", "stages.copy.json", "remarks.copy.json"])
def test_marker__comes_back_from_its_copy_and_the_copy_from_it(run: Path, name: str, injury: str) -> None:
    before, file = said(run), run / name
    content = file.read_bytes()
    file.unlink()
    if injury != "lose":
        file.write_bytes(content[:-9] if injury == "cut" else content[:9] + b"\xff" + content[10:])
    (found,) = verify(run)
    assert (found.variable, found.problem == "a file is missing") == (name, injury == "lose")
    (mended,) = verify(run, repair=True)
    assert mended.done == ("made again" if "copy" in name else "its copy took its place")
    assert verify(run) == []
    assert file.read_bytes() == content
    assert said(run) == before


def test_marker_and_copy_both_damaged__are_dropped_as_before(run: Path) -> None:
    for name in ("stages.json", "stages.copy.json", "remarks.json", "remarks.copy.json"):
        (run / name).write_bytes(b"x")
    assert {one.variable for one in verify(run)} == {"stages.json", "remarks.json"}
    assert all(one.repaired for one in verify(run, repair=True))
    assert verify(run) == []
    assert open_run(run).stages == {}


def test_marker_without_copy__of_an_earlier_version_is_sound(run: Path) -> None:
    for name in ("stages", "remarks"):
        (run / f"{name}.copy.json").unlink()
        document = twice.unseal((run / f"{name}.json").read_bytes())
        del document["copied"]
        (run / f"{name}.json").write_bytes(twice.seal(document))
    assert verify(run) == []
    analyze(run, stages=["index"])
    assert (run / "stages.copy.json").read_bytes() == (run / "stages.json").read_bytes()


def test_disk_that_takes_no_copy__takes_the_marker(run: Path) -> None:
    (run / "stages.copy.json").unlink()
    (run / "stages.copy.json").mkdir()
    document = twice.unseal((run / "stages.json").read_bytes())
    write_twice(open_run(run).path, "stages.json", {key: document[key] for key in ("schema_version", "stages")})
    assert verify(run) == []
    assert set(open_run(run).stages) == set(document["stages"])


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("writes", range(4))
def test_writer_that_is_stopped__leaves_nothing_that_looks_lost(
    run: Path, there: bool, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, left = open_run(run).path, [writes]
    real = type(folder).write
    document = twice.unseal((run / "stages.json").read_bytes())
    if not there:
        (run / "stages.json").unlink()
        (run / "stages.copy.json").unlink()

    def write(place: Any, parts: list[bytes]) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(place, parts)

    monkeypatch.setattr(type(folder), "write", write)
    with suppress(KeyboardInterrupt):
        write_twice(folder, "stages.json", {key: document[key] for key in ("schema_version", "stages")})
    assert verify(run) == []
