"""Runs that earlier versions wrote: they open, say the same, are analysed, and go on; newer ones are refused."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker import analyze, open_run
from deeptracker.errors import NewerRunError
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.store import LogWriter, list_runs, verify
from deeptracker.store.sealed import is_sealed, seal, unseal
from deeptracker.testing import simulate

FROZEN = Path(__file__).parents[1] / "frozen"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What schema version 1 wrote: ``closed`` and analysed, ``open`` as a kill left it, and figures of both."""
    folder = tmp_path_factory.mktemp("schema-1")
    with tarfile.open(FROZEN / "schema-1.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def figures(path: Path) -> Iterator[tuple[str, list[Any]]]:
    run = open_run(path)
    for group in run.groups:
        for name, data in run.dataset(group).data_vars.items():
            values = data.values
            if values.dtype.kind in "fiub" and values.size:
                wide = values.astype(np.float64)
                finite = np.isfinite(wide)
                yield f"{group}/{name}", [list(values.shape), int(finite.sum()), float(wide[finite].sum())]


@pytest.mark.parametrize("name", ["closed", "open"])
def test_run_of_schema_1__opens_and_says_what_it_said(earlier: Path, name: str) -> None:
    before = {path: file.stat().st_mtime_ns for path in (earlier / name).rglob("*") if (file := path).is_file()}
    assert open_run(earlier / name).commit.schema == 1
    assert dict(figures(earlier / name)) == json.loads((earlier / "figures.json").read_text())[name]
    assert verify(earlier / name) == []
    assert {path: path.stat().st_mtime_ns for path in before} == before  # reading changes nothing


def test_run_of_schema_1__holds_what_the_same_simulation_holds_now(earlier: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "now", model="tiny", iterations=20, images=9, passes=6, classes=3, seed=4, thumbnails=True)
    old, new = open_run(earlier / "closed"), open_run(tmp_path / "now")
    for group in new.groups:
        xr.testing.assert_equal(old.dataset(group).load(), new.dataset(group).load())


def test_run_of_schema_1__is_analysed_and_goes_on_as_one_of_this_version(earlier: Path, tmp_path: Path) -> None:
    path = shutil.copytree(earlier / "open", tmp_path / "open")
    assert {"index", "anomalies"} <= set(analyze(path).stages)
    before = dict(figures(path))
    with LogWriter(path) as writer:
        assert writer.last("scalars") == 39
        assert open_run(path).commit.schema == SCHEMA_VERSION
        assert dict(figures(path)) == before
    assert all(is_sealed(file.read_bytes()) for file in path.rglob("zarr.json"))
    assert dict(figures(path)) == before
    assert verify(path) == []
    assert {"index", "anomalies"} <= set(analyze(path).stages)
    assert list_runs(tmp_path)["state"].tolist() == ["closed"]


def test_run_of_schema_1__is_repaired_as_one_of_this_version(earlier: Path, tmp_path: Path) -> None:
    path = shutil.copytree(earlier / "closed", tmp_path / "closed")
    for name in ("scalars/loss/c/0", "images/validation/thumbnail/c/0/0/0/0"):
        file = path / "log.zarr" / name
        file.write_bytes(file.read_bytes()[:-1])
    assert all(one.repaired for one in verify(path, repair=True))
    assert verify(path) == []
    assert open_run(path).commit.schema == SCHEMA_VERSION
    assert set(open_run(path).lost["variable"]) == {"loss"}
    LogWriter(path).close()
    (path / "log.zarr" / "images" / "validation" / "target" / "c" / "0").write_bytes(b"x")
    assert [one.done for one in verify(path, repair=True)] == ["its copy took its place"]
    assert verify(path) == []


def test_migration_that_was_killed__goes_on_at_the_next_start(
    earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shutil.copytree(earlier / "open", tmp_path / "open")
    before, left = dict(figures(path)), [7]

    def seal_some(document: Any) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return seal_metadata(document)

    from deeptracker.store import migration
    from deeptracker.store.sealed import seal_metadata

    monkeypatch.setattr(migration, "seal_metadata", seal_some)
    with pytest.raises(KeyboardInterrupt):
        LogWriter(path)
    assert dict(figures(path)) == before
    assert verify(path) == []
    monkeypatch.undo()
    LogWriter(path).close()
    assert dict(figures(path)) == before
    assert verify(path) == []


@pytest.mark.parametrize("name", ["commit.json", "stages.json", "remarks.json"])
def test_newer_run__is_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run"
    simulate(path, model="tiny", iterations=20, images=9, passes=6, classes=3, seed=4)
    run = analyze(path)
    if run.event_documents():
        run.remark(1, "confirmed")
    marker = path / name
    document = unseal(marker.read_bytes()) if marker.exists() else {"remarks": []}
    marker.write_bytes(seal({**document, "schema_version": SCHEMA_VERSION + 1}))
    for attempt in (
        lambda: open_run(path).event_documents(),
        lambda: verify(path),
        lambda: verify(path, repair=True),
    ):
        with pytest.raises(NewerRunError, match="pip install --upgrade deeptracker"):
            attempt()
    if name == "commit.json":
        with pytest.raises(NewerRunError, match="upgrade"):
            LogWriter(path)
