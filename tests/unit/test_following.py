"""A training that goes on is analysed as it grows: each event is told once, and at the end all is as of the whole."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from growing import ITERATIONS, JUMPS, record
from rich.console import Console

from deeptracker import analyze, follow, following
from deeptracker.cli.follow import print_updates
from deeptracker.errors import InputError, NotARunError
from deeptracker.following import Update
from deeptracker.store import LogWriter

PARTS = [(0, 500), (500, 1000), (1000, ITERATIONS)]


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that grows by a part whenever the one that follows it sleeps, and is live until there is no more."""
    path, todo = tmp_path / "run", list(PARTS)

    def go_on(_: float) -> None:
        record(path, *todo.pop(0), budget=None)

    go_on(0)
    monkeypatch.setattr(following.time, "sleep", go_on)
    monkeypatch.setattr(following, "state", lambda run: "live" if todo else "closed")
    return path


def test_follow__tells_each_event_once_as_soon_as_it_is_there(training: Path, tmp_path: Path) -> None:
    updates = list(follow(training))
    assert [update.iteration for update in updates] == [stop - 1 for _, stop in PARTS]
    anomalies = [[e["iteration"] for e in u.new if e["kind"] == "anomaly"] for u in updates]
    first, second = JUMPS
    assert anomalies[0] == []
    assert [abs(at - first) <= 2 for at in anomalies[1]] == [True]
    assert [abs(at - second) <= 2 for at in anomalies[2]] == [True]
    assert all(update.seconds > 0 for update in updates)
    record(tmp_path / "whole", 0, ITERATIONS, budget=None)
    whole = analyze(tmp_path / "whole").event_documents()
    assert updates[-1].run.event_documents() == whole


def test_follow__of_a_longer_run_looks_at_its_newest_records_and_at_the_end_at_all(
    training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = []

    def counted(run: Any, **other: Any) -> Any:
        whole.append(run.commit.groups["filters/dense"].rows)
        return analyze(run, **other)

    monkeypatch.setattr(following, "analyze", counted)
    updates = list(follow(training, records=900))
    assert whole == [500, ITERATIONS]
    first, second = JUMPS
    anomalies = [[e["iteration"] for e in u.new if e["kind"] == "anomaly"] for u in updates]
    assert [len(found) for found in anomalies] == [0, 1, 1]
    assert abs(anomalies[1][0] - first) <= 2
    assert abs(anomalies[2][0] - second) <= 2
    assert [len(update.gone) for update in updates] == [0, 0, 0]
    assert not (training / "live").exists()


def test_follow__what_is_no_longer_found_is_taken_back(training: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jump = {"kind": "anomaly", "iteration": 300, "end": 310, "cause": "unknown", "evidence": [], "layers": [],
            "classes": [], "false_per_1000": 0.1}  # fmt: skip
    unsure = jump | {"iteration": 20, "end": 20, "false_per_1000": None}  # not told while the training goes on

    class Found:
        """An analysis of the first part finds what one of more does not."""

        def __init__(self, run: Any) -> None:
            self.run, self.generation, self.commit = run, run.generation, run.commit

        def has(self, group: str) -> bool:
            return True

        def event_documents(self) -> list[dict[str, Any]]:
            return [jump, unsure] if self.commit.groups["filters/dense"].rows == 500 else []

    monkeypatch.setattr(following, "analyze", lambda run, **_: Found(run))
    told = [(update.new, update.gone) for update in follow(training)]
    assert told == [([jump], []), ([], [jump]), ([], [])]


def test_follow__waits_for_a_training_that_has_recorded_nothing_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    with LogWriter(path):

        def begin(_: float) -> None:
            monkeypatch.setattr(following, "state", lambda run: "closed")
            raise InterruptedError

        monkeypatch.setattr(following.time, "sleep", begin)
        with pytest.raises(InterruptedError):
            next(follow(path))


def test_follow__of_nothing_or_without_a_pause_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotARunError):
        next(follow(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="every=0"):
        next(follow(tmp_path, every=0))
    with pytest.raises(InputError, match="records=500: fewer than 802"):
        next(follow(tmp_path, records=500))


def test_print_updates__has_a_line_an_analysis_and_one_a_new_event(training: Path) -> None:
    out = io.StringIO()
    last = print_updates(Console(file=out, width=200), follow(training))
    assert last is not None
    lines = out.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("iteration")] == [
        "iteration 499", "iteration 999", "iteration 1,599",
    ]  # fmt: skip
    assert len([line for line in lines if line.strip().startswith("new") and "unknown" in line]) == 2


def test_print_updates__ends_with_what_there_is_when_it_is_interrupted(training: Path) -> None:
    def interrupted() -> Iterator[Update]:
        yield next(follow(training))
        raise KeyboardInterrupt

    out = io.StringIO()
    last = print_updates(Console(file=out, width=120), interrupted())
    assert last is not None
    assert last.iteration == 499
    assert "the training goes on" in out.getvalue()
