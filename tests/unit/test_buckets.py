"""A run in a bucket, read: the same data and analysis as in a folder, few requests, faults in one line."""

from __future__ import annotations

import pickle
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import deeptracker as dt
from deeptracker.cli import main
from deeptracker.errors import InputError, MissingExtraError, NotARunError
from deeptracker.store import Run, layout, objects, open_run, place_of, verify
from deeptracker.testing import simulate

SIZES: dict[str, Any] = {"model": "tiny", "iterations": 70, "images": 20, "passes": 6, "classes": 3, "seed": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "tiny"
    simulate(path, **SIZES)
    return open_run(path)


@pytest.fixture
def copied(buckets: Any, folder: Run, request: pytest.FixtureRequest) -> Run:
    """The same run, every file put into the bucket by plain uploads."""
    prefix = f"runs/{request.node.name.replace('[', '-').replace(']', '')}/tiny"
    buckets.upload(folder.path, prefix)
    return open_run(f"s3://{prefix}")


def same(one: Run, other: Run) -> None:
    assert one.groups == other.groups
    for group in one.groups:
        if group != "anomalies/events":
            assert one.dataset(group).load().identical(other.dataset(group).load()), group


def test_folder_copied_by_any_tool__is_the_same_run(copied: Run, folder: Run) -> None:
    same(copied, folder)
    assert open_run(f"{copied.path}/log.zarr").path == copied.path
    assert copied.bytes_by_group() == folder.bytes_by_group()
    assert verify(str(copied.path)) == []
    for dask in (False, True):
        picked = [
            run.dataset("filters/dense", dask=dask)["update_angle"].isel(filter=[2, 5, 11], iteration=[3, 40, 66])
            for run in (copied, folder)
        ]
        np.testing.assert_array_equal(picked[0].values, picked[1].values)


def test_one_layer_of_a_run__is_read_by_its_parts(copied: Run, folder: Run) -> None:
    lazy, here = (run.dataset("filters/dense")["w_rms"][17, 3:9] for run in (copied, folder))
    np.testing.assert_array_equal(lazy.values, here.values)


def test_opening__asks_twice_and_no_more_for_a_longer_log(buckets: Any) -> None:
    asked = []
    for iterations in (20, 150):
        simulate(f"s3://runs/length/{iterations}", **SIZES | {"iterations": iterations, "passes": 3})
        with buckets.counted() as requests:
            open_run(f"s3://runs/length/{iterations}")
        assert len(requests) == 2
        with buckets.counted() as requests:
            open_run(f"s3://runs/length/{iterations}").dataset("filters/dense")
        asked.append(len(requests))
    assert asked[0] == asked[1]


def test_analysis__is_the_same_bit_for_bit_and_written_to_the_bucket(
    buckets: Any, copied: Run, folder: Run, tmp_path: Path
) -> None:
    shutil.copytree(folder.path, tmp_path / "tiny")
    here, there = dt.analyze(tmp_path / "tiny"), dt.analyze(copied)
    same(there, here)
    events = [run.events().drop(columns="evidence").to_json() for run in (here, there)]
    assert events[0] == events[1]
    assert open_run(str(copied.path)).stages == there.stages
    # Credentials are in no object, and in nothing that is sent to workers.
    secret = buckets.environment["AWS_SECRET_ACCESS_KEY"].encode()
    assert secret not in pickle.dumps((there, there.filters))
    for name, _ in there.path.sizes():
        if name.endswith(".json"):
            assert secret not in there.path.joinpath(*name.split("/")).read_bytes()


def bins(first: int, last: int) -> xr.Dataset:
    """A group of an index that grows: (iteration_bin,)."""
    rng = np.random.default_rng(first)
    values = rng.normal(size=(last - first, 5)).astype("float32")
    names = [f"layer{number}" for number in range(5)]
    return xr.Dataset(
        {"w_rms": (("iteration_bin", "reduction", "layer"), np.stack([values] * 3, 1))},
        {
            "iteration_bin": np.arange(first, last) * 8,
            "layer": names,
            "reduction": ["min", "mean", "max"],
        },
    )


def test_stage_that_fails__leaves_the_old_result(copied: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeptracker.store.stage.conform.check", lambda *_: None)  # one variable is enough here
    group, table = "index/layers_8", bins(0, 40)
    with copied.write_stage("index", {}) as writer:
        writer.put(group, table)
    before = open_run(str(copied.path))
    assert before.dataset(group)["w_rms"].values.tolist() == table["w_rms"].values.tolist()
    with suppress(KeyboardInterrupt), before.write_stage("index", {}) as writer:
        writer.put(group, bins(0, 50))
        raise KeyboardInterrupt
    after = open_run(str(copied.path))
    assert after.stages == before.stages
    assert after.dataset(group).load().identical(before.dataset(group).load())
    assert [child.name for child in (after.path / "log.zarr" / "index").iterdir() if child.name.isdigit()] == ["1"]


def test_continued_stage__has_the_rows_before_copied_by_the_server(
    buckets: Any, copied: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deeptracker.store.stage.conform.check", lambda *_: None)
    monkeypatch.setattr(layout, "SHARD_ROWS", (16, 16))
    group = "index/layers_8"
    with copied.write_stage("index", {}) as writer:
        writer.put(group, bins(0, 40))
    before = open_run(str(copied.path))
    with buckets.counted() as requests, before.write_stage("index", {}, continued=True) as writer:
        writer.put_many({group: bins(40, 60)}, after={group: 40})
    run = open_run(str(copied.path))
    assert run.stages["index"]["version"] == 2
    expected = np.concatenate([bins(0, 40)["w_rms"].values, bins(40, 60)["w_rms"].values])
    np.testing.assert_array_equal(run.dataset(group)["w_rms"].values, expected)
    read = [path for method, path in requests if method == "GET" and "/1/layers_8/w_rms/c/" in path]
    assert [path.rpartition("/c/")[2] for path in read] == ["2/0/0"]  # the one that was begun; two were copied


def test_damaged_object__is_named_and_never_read_as_numbers(buckets: Any, copied: Run) -> None:
    where = copied.path / "log.zarr" / "filters" / "dense" / "w_rms" / "c" / "0" / "0"
    content = bytearray(where.read_bytes())
    content[len(content) // 3] ^= 4
    where.put(bytes(content))
    found = verify(str(copied.path))
    assert [(finding.group, finding.variable) for finding in found] == [("filters/dense", "w_rms")]
    objects.delete(where.bucket, [where.key])
    assert [finding.problem for finding in verify(str(copied.path))] == ["a file is missing"]


def one_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["deeptracker", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
    assert left.value.code == 1
    told = capsys.readouterr().err
    assert len(told.strip().splitlines()) == 1, told
    assert "notasecret" not in told
    return told


def test_faults__are_one_line_and_soon(
    buckets: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    assert "s3://runs/nothing/here" in one_line(capsys, "info", "s3://runs/nothing/here")
    assert "no such bucket" in one_line(capsys, "info", "s3://elsewhere/run")
    assert "no such bucket" in one_line(capsys, "list", "s3://elsewhere/run")
    assert "no such bucket" in one_line(capsys, "simulate", "s3://elsewhere/run", "--iterations", "3")
    assert "gs://x/y" in one_line(capsys, "info", "gs://x/y")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://name:notasecret@127.0.0.1:9")
    assert "no answer from 127.0.0.1:9:" in one_line(capsys, "info", "s3://runs/x")
    assert time.monotonic() - began < 60


def test_wrong_credentials__are_said_without_the_answer_of_the_server(
    buckets: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets.refuses = True
    try:
        told = one_line(capsys, "info", "s3://runs/x")
    finally:
        buckets.refuses = False
    assert "refuses access (InvalidAccessKeyId)" in told
    assert "StringToSign" not in told
    for name in buckets.environment:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    assert "AWS_" in one_line(capsys, "info", "s3://runs/x")


def test_without_the_extra__the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setenv("AWS_REGION", "nowhere-1")
    with pytest.raises(MissingExtraError, match=r"deeptracker\[cloud\]"):
        open_run("s3://runs/x")


def test_address__is_checked() -> None:
    assert str(place_of(Path("s3://runs/a/b"))) == "s3://runs/a/b"
    assert place_of("s3://runs/a//b/") == place_of("s3://runs/a/b")
    for wrong in ("s3://", "s3://runs/../x", "s3://key:secret@runs/x", "http://runs/x"):
        with pytest.raises(InputError):
            place_of(wrong)
    with pytest.raises(NotARunError):
        open_run("s3runs/x")
