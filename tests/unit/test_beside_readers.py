"""A run that is open while its tables and stages are made anew, and an analysis beside another."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker import analyze, conform
from deeptracker.errors import DamagedRunError, LockedRunError, RunError
from deeptracker.following import LEAST, follow, recent_events
from deeptracker.store import LogWriter, arrays, condition, open_run, verify
from deeptracker.store.analysing import analysing
from deeptracker.store.flock import WriterLock
from deeptracker.testing import simulate


def images(value: int, count: int) -> xr.Dataset:
    names = {"image": np.arange(count), "class": np.array(["dog", "cat"])}
    return conform.build("images/test", {"target": np.full(count, value), "position": np.arange(count)}, names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    simulate(tmp_path / "run", model="tiny", iterations=60, images=12, passes=6, classes=3)
    return tmp_path / "run"


def test_table_that_is_put_anew__is_not_read_as_the_one_before(tmp_path: Path) -> None:
    with LogWriter(tmp_path / "run", background=False) as writer:
        writer.put("images/test", images(1, 4))
        before = open_run(tmp_path / "run")
        table = before.dataset("images/test")
        writer.put("images/test", images(2, 4))
        with pytest.raises(RunError, match="refresh"):
            table["target"].load()
        with pytest.raises(RunError, match="refresh"):
            before.dataset("images/test")
        assert before.refresh().dataset("images/test")["target"].values.tolist() == [2] * 4


def test_stage_that_is_made_anew__says_refresh_and_one_that_is_broken_says_damaged(path: Path) -> None:
    before = analyze(path)
    dataset = before.dataset("index/layers_8")
    analyze(path, stages=["index"])
    with pytest.raises(RunError, match="refresh") as told:
        dataset["w_rms"].load()
    assert not isinstance(told.value, DamagedRunError)
    now = open_run(path)
    dataset = now.dataset("index/layers_8")
    for file in (path / "log.zarr" / "index" / str(now.stages["index"]["version"])).rglob("w_rms/c/*"):
        if file.is_file():
            file.unlink()
        for inner in file.rglob("*"):
            if inner.is_file():
                inner.unlink()
    with pytest.raises(DamagedRunError):
        dataset["w_rms"].load()


def test_file_that_goes_while_it_is_read__is_never_fill_values(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = arrays.RowFiles(path / "log.zarr" / "filters" / "dense" / "w_rms")
    check, calls = arrays.RowFiles._check_present, []

    def gone(self: arrays.RowFiles, wanted: object) -> None:
        calls.append(check(self, wanted))
        self.file(0).unlink(missing_ok=True)

    monkeypatch.setattr(arrays.RowFiles, "_check_present", gone)
    with pytest.raises(DamagedRunError, match="missing"):
        files.read(np.arange(60), (slice(None),))


def test_two_analyses__one_is_refused_in_a_line_from_the_first_stage_to_the_last(path: Path) -> None:
    seen: list[str] = []

    def other(what: str, share: float) -> None:
        def attempt() -> None:
            try:
                analyze(path, stages=["correlation"])
            except LockedRunError as error:
                seen.append(str(error))

        if what != "forecast":
            thread = threading.Thread(target=attempt)
            thread.start()
            thread.join()

    done = analyze(path, progress=other)
    assert len(seen) > 2
    assert all("is being analysed by process" in line and "\n" not in line for line in seen)
    assert {name: stage["version"] for name, stage in done.stages.items()} == dict.fromkeys(done.stages, 1)
    analyze(path, stages=["correlation"])


def test_analysis_of_a_run_that_was_opened_before_another_one__takes_up_what_that_made(path: Path) -> None:
    first = analyze(path)
    opened = open_run(path)
    with LogWriter(path, background=False) as writer:
        writer.describe({"more": 1})
    grown = analyze(path)
    assert grown.stages["index"]["version"] > first.stages["index"]["version"]
    again = analyze(opened)  # frozen at the commit before; stages of then are gone
    assert again.commit.generation == opened.commit.generation
    assert verify(path) == []


def test_verify__beside_a_writer_takes_nothing_for_lost_that_lies_elsewhere_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(tmp_path / "run", background=False)
    writer.put("images/test", images(1, 4))
    for step in range(10):
        writer.append("scalars", step, {"loss": float(step)})
    writer.flush()
    forget, steps = condition.forget, iter([lambda: writer.put("images/test", images(2, 4)), writer.close])

    def meanwhile() -> None:  # between the look at the marker and the look at what it names
        for step in steps:
            step()
            break
        forget()

    monkeypatch.setattr(condition, "forget", meanwhile)
    assert verify(tmp_path / "run") == []
    assert verify(tmp_path / "run") == []
    assert next(steps, None) is None


def test_verify__beside_a_writer_names_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LogWriter(tmp_path / "run", background=False)
    for step in range(10):
        writer.append("scalars", step, {"loss": float(step)})
        writer.flush()
    next((tmp_path / "run" / "tail").iterdir()).unlink()
    look, commits = condition._recorded, []

    def busy(*given: Any) -> Any:
        found = look(*given)
        writer.describe({"seen": len(commits)})
        commits.append(1)
        return found

    monkeypatch.setattr(condition, "_recorded", busy)
    found = verify(tmp_path / "run")
    assert [one.problem for one in found] == ["a file is missing"]
    assert len(commits) == 2
    with pytest.raises(DamagedRunError, match="is damaged"):
        writer.close()


def test_repair__waits_for_no_analysis_and_drops_nothing_that_one_made_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = analyze(path)
    next((path / "log.zarr" / "correlation").rglob("zarr.json")).unlink()
    (path / "log.zarr" / "index" / "1" / "layers_8" / "zarr.json").unlink()
    with analysing(run.path), pytest.raises(LockedRunError, match="is being analysed"):
        _in_a_thread(lambda: verify(path, repair=True))
    look, looked = condition._stages, []

    def replaced(*given: Any) -> Any:
        yield from look(*given)
        if not looked:  # between the look and the repair
            looked.append(1)
            analyze(path, stages=["index", "anomalies", "correlation"])

    monkeypatch.setattr(condition, "_stages", replaced)
    assert verify(path, repair=True) == []
    assert open_run(path).stages.keys() == run.stages.keys()


def test_follower__of_a_run_that_somebody_else_analyses_waits_and_tells_the_same(path: Path) -> None:
    held, told = threading.Event(), threading.Event()

    def hold() -> None:
        with analysing(open_run(path).path):
            held.set()
            told.wait(1.5)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    updates = list(follow(path, every=0.1))
    told.set()
    other.join()
    assert len(updates) == 1
    assert updates[0].told == open_run(path).event_documents()


def test_two_followers__of_the_newest_rows_do_not_take_each_others_aside(tmp_path: Path) -> None:
    simulate(tmp_path / "run", model="tiny", iterations=LEAST + 40, images=0, passes=0)
    run = open_run(tmp_path / "run")
    alone = recent_events(run, LEAST)
    found: list[Any] = []

    def look() -> None:
        with suppress(LockedRunError):
            found.append(recent_events(run, LEAST))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found
    assert all(one == alone for one in found)
    assert not (run.path / "live").exists()


def test_lock__whose_file_was_removed_by_its_holder_is_that_of_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = WriterLock(path, "run")
    taken: list[WriterLock] = []
    thread = threading.Thread(target=lambda: taken.append(WriterLock(path, "run", patience=20)))
    thread.start()
    time.sleep(0.1)
    path.unlink()
    first.release()
    thread.join()
    taken[0].check()
    with pytest.raises(LockedRunError):
        WriterLock(path, "run")
    taken[0].release()


def _in_a_thread(work: object) -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
