"""A run in a bucket, written: whole at every moment, and by one writer at a time."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import numpy as np
import pytest

from deeptracker.errors import LockedRunError, UnreachableError
from deeptracker.store import LogWriter, layout, lease, list_runs, objects, open_run, place_of, verify
from deeptracker.store.sealed import seal, unseal


def test_live_run__is_refreshed(buckets: Any) -> None:
    with LogWriter("s3://runs/live/run", background=False) as writer:
        writer.append("scalars", 1, {"loss": 3.0})
        writer.flush()
        first = open_run("s3://runs/live/run")
        assert list_runs("s3://runs/live")["state"].tolist() == ["live"]
        for position in range(2, 80):
            writer.append("scalars", position, {"loss": float(position)})
            writer.flush()
        assert first.dataset("scalars").sizes["iteration"] == 1
        later = first.refresh().dataset("scalars")
        np.testing.assert_array_equal(later["loss"].values[1:], np.arange(2.0, 80.0))
        np.testing.assert_array_equal(first.dataset("scalars")["loss"].values, [3.0])
    assert list_runs("s3://runs/live")["state"].tolist() == ["closed"]
    closed = open_run("s3://runs/live/run")
    np.testing.assert_array_equal(closed.dataset("scalars")["loss"].values[1:], np.arange(2.0, 80.0))
    assert verify("s3://runs/live/run") == []


def test_variable_that_appears_late__survives_a_kill_while_it_moves_to_its_place(
    buckets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "SHARD_ROWS", (16, 16))
    path = "s3://runs/late/run"

    def killed(self: Any, source: Any) -> None:
        if self.name == "zarr.json":  # the last one
            raise KeyboardInterrupt
        objects.copy(self.bucket, source.key, self.key)

    writer = LogWriter(path, background=False)
    for step in range(40):
        writer.append("scalars", step, {"loss": float(step)} | ({"extra": 1.0} if step >= 20 else {}))
        if step == 19:
            writer.close()
            writer = LogWriter(path, background=False)
    with monkeypatch.context() as patch:
        patch.setattr("deeptracker.store.bucket.Bucket.share", killed)
        with pytest.raises(KeyboardInterrupt):
            writer.close()
    with LogWriter(path, background=False):
        pass
    scalars = open_run(path).dataset("scalars")
    np.testing.assert_array_equal(scalars["loss"].values, np.arange(40.0))
    assert np.isfinite(scalars["extra"].values).tolist() == [False] * 20 + [True] * 20


def test_verify__of_a_table_that_is_on_its_way_takes_nothing_for_lost(
    buckets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, delete, seen = "s3://runs/way/run", objects.delete, []

    def half_way(bucket: str, keys: list[str]) -> None:
        if any("/making/" in key for key in keys) and len(keys) == 1:  # its metadata go first
            delete(bucket, keys)
            seen.append(verify(path))
        elif not any("/making/" in key for key in keys):
            delete(bucket, keys)  # the rest stays there, as a kill would leave it

    with LogWriter(path, background=False) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(objects, "delete", half_way)
            writer.coordinates("scalars", {"param_group": np.arange(1)})
        assert seen == [[]]
        writer.append("scalars", 1, {"loss": 3.0})
        writer.flush()
        assert verify(path) == []
    assert verify(path) == []
    assert open_run(path).commit.copies.keys() == {"scalars"}


def test_table_of_a_closed_run_that_is_put_anew__has_its_copy_once_the_run_is_closed(buckets: Any) -> None:
    path = "s3://runs/anew/run"
    with LogWriter(path, background=False) as writer:
        writer.coordinates("scalars", {"param_group": np.arange(1)})
    file = place_of(path).joinpath("log.zarr", "scalars", "param_group", "c", "0")
    with LogWriter(path, background=False) as writer:
        writer.coordinates("scalars", {"param_group": np.arange(2)})
        assert verify(path) == []
        assert not (place_of(path) / "commit.copy.json").is_file()  # of before: it would take back what came since
    (copied,) = (place_of(path) / "copies").iterdir()
    assert verify(path) == []
    sound = file.read_bytes()
    file.put(b"x")
    assert [one.done for one in verify(path, repair=True)] == ["its copy took its place"]
    assert file.read_bytes() == sound
    copied.put(b"x")
    assert [one.done for one in verify(path, repair=True)] == ["made again"]
    assert verify(path) == []


def test_second_writer__is_refused_and_a_dead_one_is_not_waited_for(
    buckets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deeptracker.store.lease.BEAT", 0.2)
    with LogWriter("s3://runs/two/run", background=False):
        LogWriter("s3://runs/two/other", background=False).close()
        with pytest.raises(LockedRunError, match="is being written by process"):
            LogWriter("s3://runs/two/run", background=False)
    lock = place_of("s3://runs/two/run") / "lock"
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = {"lease": "x", "holder": "?", "process": ended.pid, "machine": lease._machine()}
    lock.put(json.dumps(dead).encode())
    began = time.monotonic()
    LogWriter("s3://runs/two/run", background=False).close()
    assert time.monotonic() - began < 20  # LEASE is 60


def test_writer_that_lost_its_lease__writes_nothing_more(buckets: Any) -> None:
    writer = LogWriter("s3://runs/lost/run", background=False)
    writer.append("scalars", 1, {"loss": 1.0})
    writer.flush()
    with pytest.MonkeyPatch.context() as patch:
        (writer.path / "lock").put(json.dumps({"lease": "another"}).encode())
        writer._lock._look()
        writer.append("scalars", 2, {"loss": 2.0})
        with pytest.raises(LockedRunError, match="taken over"):
            writer.flush()
        patch.setattr(writer._lock, "_lost", False)
    # Even one that does not know it overwrites no marker that is not its own.
    marker = writer.path / "commit.json"
    marker.put(seal({**unseal(marker.read_bytes()), "when": "later"}))
    writer._lock._lost = False
    with pytest.raises(LockedRunError, match="written by another process"):
        writer.flush()
    with pytest.raises(LockedRunError):
        writer.close()
    assert open_run("s3://runs/lost/run").dataset("scalars").sizes["iteration"] == 1


def test_commit_whose_answer_was_lost__counts_as_ours(buckets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LogWriter("s3://runs/answer/run", background=False)
    put = objects.put

    def lost(bucket: str, key: str, content: bytes, over: str | None = "*") -> str:
        put(bucket, key, content, over)
        if key.endswith("commit.json"):
            raise UnreachableError("no answer")
        return ""

    writer.append("scalars", 1, {"loss": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(objects, "put", lost)
        with pytest.raises(UnreachableError):
            writer.flush()
    writer.append("scalars", 2, {"loss": 2.0})
    writer.close()
    assert open_run("s3://runs/answer/run").dataset("scalars")["loss"].values.tolist() == [1.0, 2.0]


def test_forked_child__neither_writes_nor_gives_up_the_lease_of_its_parent(buckets: Any) -> None:
    writer = LogWriter("s3://runs/forked/run", background=False)
    mine = writer._lock._body["process"]
    writer._lock._body["process"] = mine + 1  # what a child finds there is its parent's number
    with pytest.raises(LockedRunError, match="forked"):
        writer._lock.check()
    writer._lock.release()
    assert (writer.path / "lock").is_file()
    writer._lock._body["process"] = mine
    writer.append("scalars", 1, {"loss": 1.0})
    writer.close()
    assert not (writer.path / "lock").is_file()
