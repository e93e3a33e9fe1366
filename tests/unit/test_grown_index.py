"""The index of a run that grew: what is read, what is shared, and that it equals the one made at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import growing
import numpy as np
import pytest

from deeptracker.aggregate import Source, build_index
from deeptracker.aggregate.grown import earlier
from deeptracker.errors import LockedRunError
from deeptracker.store import LogWriter, Run, layout, open_run, verify
from deeptracker.store.durable import link
from deeptracker.store.stage import save_stages

VIEW = "validation/validation/raw"
PASS = growing.ITERATIONS // 32
# Summed pass by pass in float64, in another order.
ROUNDED = {"moments", "confidence_mean", "confidence_std"}


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SHARD_ROWS", (256, 256))
        patch.setattr("deeptracker.aggregate.jobs.FILE_BYTES", 1)  # files of 512 records
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


@dataclass
class Grown:
    """What indexing the run that has grown did."""

    run: Run
    read: dict[str, list[tuple[int, int]]]
    shared: set[str]


def _files(run: Run) -> dict[str, int]:
    place = run.path / layout.LOG / "index" / str(run.stages["index"]["version"]) / "layer_quantiles" / "w_rms" / "c"
    return {child.name: os.stat(child / "0" / "0").st_ino for child in place.iterdir()}


@pytest.fixture(scope="module")
def grown(begun: Run, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    path = _copy(begun, tmp_path_factory.mktemp("grown"))
    before, read = _files(open_run(path)), Source.read
    growing.record(path, 1100, growing.ITERATIONS, None)
    spans: dict[str, list[tuple[int, int]]] = {}

    def watched(source: Source, name: str, start: int, stop: int) -> np.ndarray:
        spans.setdefault(source.group, []).append((start, stop))
        return read(source, name, start, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Source, "read", watched)
        run = build_index(open_run(path))
    after = _files(run)
    return Grown(run, spans, {name for name, inode in before.items() if after.get(name) == inode})


def test_index__of_a_run_that_grew_is_that_of_the_whole(whole: Run, grown: Grown) -> None:
    _assert_same(grown.run, whole)
    assert verify(grown.run.path) == []


def test_index__of_a_run_that_grew_often_is_that_of_the_whole(whole: Run, tmp_path: Path) -> None:
    start = 0
    for stop in (130, 1024, growing.ITERATIONS):
        growing.record(tmp_path / "run", start, stop, None)
        run = build_index(open_run(tmp_path / "run"))
        start = stop
    _assert_same(run, whole)


def test_index__goes_on_in_the_middle_of_a_file(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeptracker.aggregate.jobs.FILE_BYTES", 1 << 20)
    monkeypatch.setattr("deeptracker.aggregate.jobs._MOST_BINS", 4)  # files of 2048 records, of which 1024 stay
    growing.record(tmp_path / "run", 0, 1100, None)
    build_index(open_run(tmp_path / "run"))
    growing.record(tmp_path / "run", 1100, growing.ITERATIONS, None)
    run = build_index(open_run(tmp_path / "run"))
    assert run.stages["index"]["continued"]["rows"]["filters/dense"] == 1024
    _assert_same(run, whole)


def test_growth__reads_the_log_from_the_last_complete_bin_and_the_first_new_pass(grown: Grown) -> None:
    assert {group: (min(s)[0], max(stop for _, stop in s)) for group, s in grown.read.items()} == {
        "filters/dense": (1024, growing.ITERATIONS),
        "layers/dense": (1024, growing.ITERATIONS),
        "layers/full": (1100 // 50, growing.ITERATIONS // 50),
        VIEW: (1100 // PASS, 32),
    }
    assert grown.run.stages["index"]["continued"]["rows"]["filters/dense"] == 1024


def test_growth__shares_the_files_that_hold_only_what_stays(grown: Grown) -> None:
    assert grown.shared == {"0", "1"}  # 512 records each, of 1024 that stay


def test_growth__copies_where_the_file_system_knows_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refused)
    (tmp_path / "one").write_bytes(b"rows")
    link(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == b"rows"


def test_index__of_a_run_that_did_not_grow_is_the_same(whole: Run, tmp_path: Path) -> None:
    path = _copy(whole, tmp_path)
    assert earlier(open_run(path)) is not None
    _assert_same(build_index(open_run(path)), whole)


def test_index__of_a_run_that_was_cut_back_is_made_anew(begun: Run, tmp_path: Path) -> None:
    path = _copy(begun, tmp_path)
    with LogWriter(path, background=False) as writer:
        writer.cut(900)
    assert earlier(open_run(path)) is None


def test_growth__of_an_index_that_another_process_replaced_is_refused(begun: Run, tmp_path: Path) -> None:
    path = _copy(begun, tmp_path)
    seen = open_run(path)
    save_stages(path, {"index": {**seen.stages["index"], "version": 7}})
    for _ in range(2):  # the lock is free again afterwards
        with pytest.raises(LockedRunError, match="analyze it again"):
            build_index(seen)


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
