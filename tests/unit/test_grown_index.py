"""The index of a run that grew: what is read, what is shared, and that it equals the one made at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import growing
import numpy as np
import pytest

from deeptracker.aggregate import Source, build_index
from deeptracker.aggregate.grown import earlier
from deeptracker.store import LogWriter, Run, layout, open_run, verify

VIEW = "validation/validation/raw"
PASS = growing.ITERATIONS // 32
# Summed pass by pass in float64, in another order.
ROUNDED = {"moments", "confidence_mean", "confidence_std"}


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SHARD_ROWS", (64, 64))
        patch.setattr("deeptracker.aggregate.pyramid.LEAST_BINS", 2)  # bins of 64 from 128 records on, 512 from 1024
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def whole(small: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All of it, indexed at once."""
    path = tmp_path_factory.mktemp("grown") / "whole"
    growing.record(path, 0, growing.ITERATIONS, None)
    return build_index(open_run(path))


@pytest.fixture(scope="module")
def begun(small: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Its first 1100 records, indexed."""
    path = tmp_path_factory.mktemp("grown") / "begun"
    growing.record(path, 0, 1100, None)
    return build_index(open_run(path))


def _copy(run: Run, folder: Path) -> Path:
    return Path(shutil.copytree(run.path, folder / "run"))


def _assert_same(run: Run, other: Run) -> None:
    groups = [group for group in other.groups if group.startswith("index/")]
    assert [group for group in run.groups if group.startswith("index/")] == groups
    for group in groups:
        one, two = run.dataset(group), other.dataset(group)
        assert set(one.variables) == set(two.variables)
        for name in two.variables:
            if name in ROUNDED:
                np.testing.assert_allclose(
                    one[name], two[name], rtol=1e-6 if two[name].dtype == np.float32 else 1e-12
                )
            else:
                np.testing.assert_array_equal(one[name], two[name], err_msg=f"{group}/{name}")


@pytest.mark.parametrize("stops", [(300, 700, 1100), (1024,), (130, 1599)])
def test_index__of_a_run_that_grew_is_that_of_the_whole(whole: Run, tmp_path: Path, stops: tuple[int, ...]) -> None:
    start = 0
    for stop in (*stops, growing.ITERATIONS):
        growing.record(tmp_path / "run", start, stop, None)
        run = build_index(open_run(tmp_path / "run"))
        start = stop
    _assert_same(run, whole)
    assert verify(run.path) == []


def test_growth__reads_the_log_from_the_last_complete_bin_and_the_first_new_pass(
    begun: Run, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _copy(begun, tmp_path)
    growing.record(path, 1100, growing.ITERATIONS, None)
    spans: dict[str, list[tuple[int, int]]] = {}
    read = Source.read

    def watched(source: Source, name: str, start: int, stop: int) -> np.ndarray:
        spans.setdefault(source.group, []).append((start, stop))
        return read(source, name, start, stop)

    monkeypatch.setattr(Source, "read", watched)
    run = build_index(open_run(path))
    assert {group: (min(s)[0], max(s)[1]) for group, s in spans.items()} == {
        "filters/dense": (1024, growing.ITERATIONS),
        "layers/dense": (1024, growing.ITERATIONS),
        VIEW: (1100 // PASS, 32),
    }
    assert run.stages["index"]["continued"]["rows"]["filters/dense"] == 1024
    _assert_same(run, whole)


def test_growth__shares_the_files_that_hold_only_what_stays(begun: Run, tmp_path: Path) -> None:
    def inodes(run: Run) -> dict[str, int]:
        folder = run.path / layout.LOG / "index" / str(run.stages["index"]["version"]) / "filters_8" / "w_rms" / "c"
        return {child.name: os.stat(child / "0" / "0").st_ino for child in folder.iterdir()}

    path = _copy(begun, tmp_path)
    before = inodes(open_run(path))
    growing.record(path, 1100, growing.ITERATIONS, None)
    after = inodes(build_index(open_run(path)))
    # 1024 records are 128 bins of 8, and 64 of them a file.
    assert {name for name, inode in before.items() if after.get(name) == inode} == {"0", "1"}


def test_growth__copies_where_the_file_system_knows_no_links(
    begun: Run, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refused)
    path = _copy(begun, tmp_path)
    growing.record(path, 1100, growing.ITERATIONS, None)
    _assert_same(build_index(open_run(path)), whole)


def test_index__of_a_run_that_did_not_grow_is_the_same(whole: Run, tmp_path: Path) -> None:
    path = _copy(whole, tmp_path)
    assert earlier(open_run(path)) is not None
    _assert_same(build_index(open_run(path)), whole)


def test_index__of_a_run_that_was_cut_back_is_made_anew(begun: Run, whole: Run, tmp_path: Path) -> None:
    path = _copy(begun, tmp_path)
    with LogWriter(path, background=False) as writer:
        writer.cut(900)
    assert earlier(open_run(path)) is None
    growing.record(path, 900, growing.ITERATIONS, None)
    _assert_same(build_index(open_run(path)), whole)


def test_index__is_made_anew_by_another_version_of_the_package(begun: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert earlier(begun) is not None
    monkeypatch.setattr("deeptracker.aggregate.grown.package_version", lambda: "0.0")
    assert earlier(begun) is None


def test_classes__of_images_that_were_described_anew_are_counted_anew(begun: Run, tmp_path: Path) -> None:
    path = _copy(begun, tmp_path)
    images = open_run(path).dataset("images/validation").load()
    with LogWriter(path, background=False) as writer:
        writer.put("images/validation", images.assign(target=(images["target"] + 1) % 3))
    found = earlier(open_run(path))
    assert found is not None
    assert VIEW not in found.rows
    before, after = begun, build_index(open_run(path))
    accuracy = [run.dataset(f"index/{VIEW}/classes")["accuracy"].values for run in (before, after)]
    assert not np.array_equal(*accuracy)
