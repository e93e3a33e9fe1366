"""Claims of the writer: what is kept, what is refused, what a fault does."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from deeptracker import conform
from deeptracker.errors import InputError, LockedRunError, RunError
from deeptracker.sink import Sink
from deeptracker.store import LogWriter, disk, open_run
from deeptracker.store.disk import Disk

VIEW = "validation/test/raw"


def answers(value: int, images: int = 6) -> dict[str, np.ndarray]:
    return {
        "predicted": np.full(images, value, np.int16),
        "correct": np.full(images, value % 2, np.int8),
        "loss": np.full(images, value / 4, np.float16),
    }


def fill(writer: LogWriter, start: int, stop: int) -> None:
    for i in range(start, stop):
        writer.append(VIEW, i, answers(i))
        writer.append("scalars", i, {"loss": i / 2, "learning_rate": np.array([0.1])})


@pytest.fixture
def writer(tmp_path):
    with LogWriter(tmp_path / "run", background=False) as made:
        yield made


def test_writer__is_a_sink(writer):
    assert isinstance(writer, Sink)


def test_writer__commits_rows_only_when_flushed(writer):
    fill(writer, 0, 3)
    assert not open_run(writer.path).has(VIEW)
    writer.flush()
    assert open_run(writer.path).dataset(VIEW).sizes["validation"] == 3


def test_writer__copies_rows(writer):
    row = answers(1)
    writer.append(VIEW, 0, row)
    row["predicted"][:] = 99
    writer.flush()
    assert (open_run(writer.path).dataset(VIEW)["predicted"].values == 1).all()


def test_writer__refuses_positions_that_do_not_increase(writer):
    fill(writer, 0, 3)
    with pytest.raises(InputError, match="does not come after 2"):
        writer.append(VIEW, 2, answers(2))


def test_writer__refuses_a_row_of_another_shape(writer):
    fill(writer, 0, 2)
    with pytest.raises(InputError, match="shape"):
        writer.append(VIEW, 5, answers(1, images=7))
    with pytest.raises(InputError, match="missing: loss"):
        writer.append(VIEW, 5, {k: v for k, v in answers(1).items() if k != "loss"})


def test_writer__takes_new_scalars_mid_run(writer):
    fill(writer, 0, 2)
    writer.flush()
    writer.append("scalars", 2, {"loss": 1.0, "learning_rate": np.array([0.1]), "accuracy": 0.5})
    writer.append("scalars", 3, {"accuracy": 0.75})
    writer.flush()
    scalars = open_run(writer.path).dataset("scalars")
    np.testing.assert_array_equal(scalars["accuracy"], [np.nan, np.nan, 0.5, 0.75])
    np.testing.assert_array_equal(scalars["loss"], [0, 0.5, 1, np.nan])


def test_writer__stores_infinite_losses_without_a_warning(writer):
    writer.append(VIEW, 0, {**answers(0), "loss": np.full(6, 1e9, np.float32)})
    writer.append(VIEW, 1, {**answers(0), "loss": np.full(6, np.nan)})
    writer.flush()
    loss = open_run(writer.path).dataset(VIEW)["loss"].values
    assert np.isposinf(loss[0]).all()
    assert np.isnan(loss[1]).all()


def test_cut__drops_rows_of_every_group_and_recording_goes_on(tmp_path):
    with LogWriter(tmp_path / "run", background=False) as writer:
        fill(writer, 0, 10)
        writer.cut(4)
        assert (writer.first(VIEW), writer.last(VIEW)) == (0, 3)
        fill(writer, 4, 6)
    run = open_run(tmp_path / "run")
    np.testing.assert_array_equal(run.scalars["iteration"], np.arange(6))
    np.testing.assert_array_equal(run.dataset(VIEW)["predicted"][:, 0], np.arange(6))


def test_cut__reaches_into_shards_of_a_closed_run(tmp_path):
    with LogWriter(tmp_path / "run", background=False) as writer:
        fill(writer, 0, 4100)
    with LogWriter(tmp_path / "run", background=False) as writer:
        assert writer.last("scalars") == 4099
        writer.cut(70)
        fill(writer, 70, 75)
    loss = open_run(tmp_path / "run").scalars["loss"]
    np.testing.assert_array_equal(loss, np.arange(75) / 2)


def test_cut__to_nothing_leaves_an_empty_group(tmp_path):
    with LogWriter(tmp_path / "run", background=False) as writer:
        fill(writer, 5, 9)
        writer.cut(5)
        assert writer.last(VIEW) is None
        assert writer.first(VIEW) is None
    assert not open_run(tmp_path / "run").has(VIEW)


def test_reader__of_rows_that_were_cut_is_told(tmp_path):
    with LogWriter(tmp_path / "run", background=False) as writer:
        fill(writer, 0, 10)
        writer.flush()
        before = open_run(tmp_path / "run").dataset(VIEW)
        writer.cut(4)
        with pytest.raises(RunError, match="refresh"):
            before["predicted"].load()


def test_resume__goes_on_after_the_last_row(tmp_path):
    for start in (0, 20, 40):
        with LogWriter(tmp_path / "run", background=False) as writer:
            fill(writer, start, start + 20)
    run = open_run(tmp_path / "run")
    np.testing.assert_array_equal(run.dataset(VIEW)["correct"][:, 3], np.arange(60) % 2)


def test_resume__can_be_refused(tmp_path):
    LogWriter(tmp_path / "run", background=False).close()
    with pytest.raises(InputError, match="already holds a run"):
        LogWriter(tmp_path / "run", resume=False)


def test_writer__leaves_other_peoples_folders_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not a run"):
        LogWriter(tmp_path)
    assert [child.name for child in tmp_path.iterdir()] == ["thesis.tex"]


def test_second_writer__is_refused_until_the_first_closes(tmp_path):
    first = LogWriter(tmp_path / "run", background=False)
    with pytest.raises(LockedRunError, match=f"process {os.getpid()}"):
        LogWriter(tmp_path / "run", background=False)
    first.close()
    LogWriter(tmp_path / "run", background=False).close()


def test_lock__is_freed_when_a_forked_child_outlives_the_writer(tmp_path):
    program = (
        "import os, sys, time\n"
        "from deeptracker.store import LogWriter\n"
        f"writer = LogWriter({str(tmp_path / 'run')!r}, background=False)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os.close(1); os.close(2); time.sleep(20); os._exit(0)\n"
        "print(child, flush=True); os._exit(1)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    child = int(ended.stdout)
    try:
        LogWriter(tmp_path / "run", background=False).close()
        os.kill(child, 0)
    finally:
        os.kill(child, 9)


def images(value: int) -> xr.Dataset:
    return conform.build(
        "images/test",
        {"target": np.full(3, value), "position": np.arange(3)},
        {"image": np.array(["a", "b", "é"], object), "class": np.array(["dog", "cat"])},
    )


@pytest.mark.parametrize(("step", "left"), [("save", 1), ("_finish_moves", 2)])
def test_put_many__after_a_fault_all_tables_are_the_old_ones_or_all_the_new_ones(tmp_path, monkeypatch, step, left):
    names = ["images/test", "images/train"]
    writer = LogWriter(tmp_path / "run", background=False)
    writer.put_many({name: images(1) for name in names})
    with monkeypatch.context() as patch:

        def fail(*_):
            raise RuntimeError("killed")

        patch.setattr(Disk, step, fail)
        with pytest.raises(RuntimeError, match="killed"):
            writer.put_many({name: images(2) for name in names})
    run = open_run(tmp_path / "run")
    assert [run.dataset(name)["target"].values.tolist() for name in names] == [[left] * 3] * 2
    writer.close()  # and what the fault kept from the disk is written then
    with LogWriter(tmp_path / "run", background=False) as again:
        assert [again.get(name)["target"].values.tolist() for name in names] == [[2] * 3] * 2


def test_put__replaces_a_table_and_get_returns_it(writer):
    for value in (1, 2):
        writer.put("images/test", images(value))
        kept = writer.get("images/test")
        assert (kept["target"].values == value).all()
        assert list(kept["image"].values) == ["a", "b", "é"]
        assert list(kept["class"].values) == ["dog", "cat"]
    assert writer.get("architecture") is None


def test_put__refuses_what_the_schema_does_not_know(writer):
    with pytest.raises(InputError, match="has no variable"):
        writer.put("images/test", xr.Dataset({"colour": ("image", np.zeros(3))}))


def test_coordinates__are_fixed_once_there_are_rows(writer):
    writer.coordinates(VIEW, {"image": np.arange(5)})
    writer.coordinates(VIEW, {"image": np.arange(6)})
    with pytest.raises(InputError, match="image has 6 entries"):
        writer.append(VIEW, 0, answers(0, images=5))
    writer.append(VIEW, 0, answers(0))
    writer.coordinates(VIEW, {"image": np.arange(6)})
    with pytest.raises(InputError, match="other image"):
        writer.coordinates(VIEW, {"image": np.arange(1, 7)})
    writer.flush()
    np.testing.assert_array_equal(open_run(writer.path).dataset(VIEW)["image"], np.arange(6))


def test_describe__merges_attributes(writer):
    writer.describe({"model": "ResNet", "host": {"cores": np.int64(2)}})
    writer.describe({"framework": "torch"})
    attributes = open_run(writer.path).attributes
    assert (attributes["model"], attributes["framework"], attributes["host"]) == ("ResNet", "torch", {"cores": 2})


def test_full_disk__is_said_once_and_the_rows_come_later(writer, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    fill(writer, 0, 3)
    with monkeypatch.context() as patch:
        patch.setattr(disk, "write_tail", full)
        with pytest.raises(RunError, match="No space left on device"):
            writer.flush()
    fill(writer, 3, 5)
    writer.flush()
    writer.flush()
    assert open_run(writer.path).dataset(VIEW).sizes["validation"] == 5


def test_full_disk__of_the_thread_reaches_the_trainer(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = LogWriter(tmp_path / "run", flush_secs=0.01)
    with monkeypatch.context() as patch:
        patch.setattr(disk, "write_tail", full)
        fill(writer, 0, 1)
        writer._thread.join(0.5)
        with pytest.raises(RunError, match="No space left"):
            writer.check()
        fill(writer, 1, 2)
    writer.close()
    assert open_run(tmp_path / "run").dataset(VIEW).sizes["validation"] == 2
    assert writer.lost == 0


def test_buffers__are_bounded(tmp_path, monkeypatch):
    from deeptracker.store import rows

    monkeypatch.setattr(rows, "_BUFFER_ROWS", (2, 8))
    with LogWriter(tmp_path / "run", flush_secs=30) as writer:
        fill(writer, 0, 100)
        assert all(r.block is None or r.block.capacity == 8 for r in writer._buffers.groups.values())
    np.testing.assert_array_equal(open_run(tmp_path / "run").scalars["loss"], np.arange(100) / 2)


def test_closed_writer__takes_no_rows(writer):
    writer.close()
    writer.close()
    with pytest.raises(RunError, match="is closed"):
        writer.append("scalars", 0, {"loss": 1.0})
