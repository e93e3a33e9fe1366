"""A disk that fails: what a writer keeps, what it gives up, and that it begins nothing anew in a wrong place."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker import analyze, conform
from deeptracker.errors import LockedRunError, RunError
from deeptracker.store import LogWriter, disk, open_run, rows, verify
from deeptracker.store.disk import Disk
from deeptracker.testing import simulate


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def images(value: int) -> xr.Dataset:
    names = {"image": np.arange(3), "class": np.array(["dog", "cat"])}
    return conform.build("images/test", {"target": np.full(3, value), "position": np.arange(3)}, names)


def test_disk_that_fails__holds_no_training_up_once_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_BUFFER_ROWS", (2, 8))
    writer = LogWriter(tmp_path / "run", flush_secs=0.01)
    refused = 0
    with monkeypatch.context() as patch:
        patch.setattr(disk, "write_tail", full)
        began = time.monotonic()
        for step in range(200):
            try:
                writer.append("scalars", step, {"loss": float(step)})
            except RunError as error:
                assert "No space left" in str(error)  # noqa: PT017
                refused += 1
        assert time.monotonic() - began < 20  # at a second a row it took three minutes
        waiting = [block.capacity for _, block in writer._waiting.blocks]
        assert sum(waiting) + 8 <= 16
    assert refused == writer.lost > 150
    with suppress(RunError):  # of the time before
        writer.check()
    writer.flush()
    for step in range(200, 205):
        writer.append("scalars", step, {"loss": float(step)})
    writer.close()
    kept = open_run(tmp_path / "run").dataset("scalars")
    assert kept.sizes["iteration"] == 205 - refused
    np.testing.assert_array_equal(kept["loss"], kept["iteration"])


def test_disk_that_fails__costs_no_row_while_there_is_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LogWriter(tmp_path / "run", flush_secs=0.01)
    with monkeypatch.context() as patch:
        patch.setattr(disk, "write_tail", full)
        for step in range(30):
            writer.append("scalars", step, {"loss": 1.0})
            time.sleep(0.005)
        with pytest.raises(RunError, match="No space left"):
            writer.check()
    writer.close()
    assert open_run(tmp_path / "run").dataset("scalars").sizes["iteration"] == 30


def test_tables_attributes_and_a_cut__are_made_when_the_disk_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LogWriter(tmp_path / "run", background=False) as writer:
        for step in range(10):
            writer.append("scalars", step, {"loss": 1.0})
    writer = LogWriter(tmp_path / "run", background=False)
    with monkeypatch.context() as patch:
        patch.setattr(Disk, "save", full)
        for refused in (
            lambda: writer.cut(5),
            lambda: writer.describe({"model": "net"}),
            lambda: writer.put("images/test", images(1)),
        ):
            with pytest.raises(RunError, match="No space left"):
                refused()
        assert writer.get("images/test") is not None
    writer.append("scalars", 5, {"loss": 2.0})
    writer.flush()
    run = open_run(tmp_path / "run")
    assert run.dataset("scalars")["loss"].values.tolist() == [1.0] * 5 + [2.0]
    assert run.attributes["model"] == "net"
    assert run.dataset("images/test")["target"].values.tolist() == [1] * 3
    writer.close()


def test_table_that_meets_a_fault__does_not_cost_the_row_for_which_it_was_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(tmp_path / "run", flush_secs=30)
    with monkeypatch.context() as patch:
        patch.setattr(Disk, "save", full)
        writer.coordinates("validation/test/raw", {"image": np.arange(3)})
        answers = {"predicted": np.ones(3, int), "correct": np.zeros(3, int), "loss": np.zeros(3)}
        writer.append("validation/test/raw", 0, answers)
        with pytest.raises(RunError, match="No space left"):
            writer.check()
    writer.close()
    kept = open_run(tmp_path / "run").dataset("validation/test/raw")
    assert kept["predicted"].values.tolist() == [[1, 1, 1]]
    assert kept["image"].values.tolist() == [0, 1, 2]


def test_rows_that_no_disk_took__are_counted_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LogWriter(tmp_path / "run", background=False)
    for step in range(7):
        writer.append("scalars", step, {"loss": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(disk, "write_tail", full)
        with pytest.raises(RunError, match="No space left"):
            writer.close()
    assert writer.lost == 7


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_run_that_goes_away__is_not_begun_again_in_its_place(tmp_path: Path, how: str) -> None:
    path = tmp_path / "run"
    writer = LogWriter(path, background=False)
    writer.append("scalars", 0, {"loss": 1.0})
    writer.flush()
    if how == "moved":
        path.rename(tmp_path / "aside")
    else:
        shutil.rmtree(path)
    writer.append("scalars", 1, {"loss": 2.0})
    for write in (writer.flush, lambda: writer.describe({"model": "net"}), writer.flush):
        with pytest.raises(RunError, match="moved or deleted"):
            write()
    assert not path.exists()
    if how == "moved":
        (tmp_path / "aside").rename(path)
        writer.close()
        assert open_run(path).dataset("scalars")["loss"].values.tolist() == [1.0, 2.0]
        assert verify(path) == []
    else:
        with pytest.raises(RunError, match="moved or deleted"):
            writer.close()
        assert not path.exists()


def test_forked_child__writes_nothing_and_takes_no_lock_along(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "run")
    writer.append("scalars", 0, {"loss": 1.0})
    child = os.fork()
    if not child:
        code = 0
        try:
            writer.append("scalars", 1, {"loss": 2.0})
            code = 1
        except LockedRunError:
            writer.close()
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(LockedRunError, match=f"process {os.getpid()}"):
        LogWriter(tmp_path / "run")
    writer.close()
    assert open_run(tmp_path / "run").dataset("scalars")["loss"].values.tolist() == [1.0]


def test_half_of_a_shard__does_not_keep_the_next_rows_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    for session in range(2):
        with LogWriter(path, background=False) as writer:
            writer.append("scalars", session, {"loss": 1.0})
            writer.flush()
            before = {file for file in path.rglob("*") if file.is_file()}
            with monkeypatch.context() as patch:
                patch.setattr("deeptracker.store.durable.sync_all", full)
                with pytest.raises(OSError, match="No space left"):
                    writer._disk.finish()
            left = {file for file in path.rglob("*") if file.is_file()} - before
            assert all(file.name == "zarr.json" for file in left), left
    assert open_run(path).dataset("scalars")["loss"].values.tolist() == [1.0, 1.0]
    assert verify(path) == []


def test_analysis_that_cannot_begin__lets_go_of_the_run_and_keeps_the_result_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    simulate(path, model="tiny", iterations=60, images=0, passes=0)
    before = analyze(path).stages["index"]["version"]
    for step in ("make_group", "write_group"):
        with monkeypatch.context() as patch:
            patch.setattr(f"deeptracker.store.stage.{step}", full)
            with pytest.raises(RunError, match=r"No space left on device.*analysed before stays"):
                analyze(path, stages=["index"])
    assert open_run(path).stages["index"]["version"] == before
    assert analyze(path, stages=["index"]).stages["index"]["version"] > before


def test_process_that_ends_while_the_disk_is_full__says_so_in_a_line_and_keeps_what_it_can(
    tmp_path: Path,
) -> None:
    program = (
        "import sys; from deeptracker.store import LogWriter, disk\n"
        "import numpy as np\n"
        "def full(*_): raise OSError(28, 'No space left on device')\n"
        "writer = LogWriter(sys.argv[1], flush_secs=60)\n"
        "save, disk.Disk.save = disk.Disk.save, full\n"
        "writer.coordinates('validation/test/raw', {'image': np.arange(3)})\n"
        "writer.append('scalars', 0, {'loss': 1.0})\n"
        "if sys.argv[2] == 'over': disk.Disk.save = save\n"
    )
    for ending in ("over", "full"):
        command = [sys.executable, "-c", program, str(tmp_path / ending), ending]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == (ending == "full")
    assert open_run(tmp_path / "over").dataset("scalars").sizes["iteration"] == 1
