"""The stages in order: what is due, what is skipped, what a run that lacks parts still gives."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deeptracker.analysis import analyze, plan
from deeptracker.errors import DeepTrackerError, InputError, MissingGroupError, NotARunError
from deeptracker.store import LogWriter, Run, open_run
from deeptracker.testing import simulate

VIEW = "validation/raw"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("runs") / "tiny"
    simulate(where, model="tiny", iterations=320, images=60, passes=60, classes=3, seed=2)
    return where


@pytest.fixture(scope="module")
def run(path: Path) -> Run:
    return analyze(path)


def test_analyze__writes_every_stage(run: Run) -> None:
    assert set(run.stages) == {"index", "anomalies", "correlation"}
    for group in ("index/model", "anomalies/events", f"correlation/validation/{VIEW}/front"):
        assert run.has(group)
    assert len(run.events()) > 0


def test_analyze__a_second_time_does_nothing(run: Run, path: Path) -> None:
    again = analyze(path)
    assert {n: s["version"] for n, s in again.stages.items()} == {n: s["version"] for n, s in run.stages.items()}
    assert plan(run) == ()


def test_analyze__a_stage_that_is_named_runs_whatever_its_state(run: Run, path: Path) -> None:
    before = open_run(path).stages["index"]["version"]
    after = analyze(path, stages=["index"])
    assert after.stages["index"]["version"] == before + 1
    assert plan(after) == ()


def test_plan__new_anomalies_make_the_correlation_due(run: Run, path: Path) -> None:
    assert plan(analyze(path, stages=["anomalies"])) == ("correlation",)
    assert plan(analyze(path)) == ()


def test_plan__another_reference_makes_the_anomalies_due(run: Run) -> None:
    assert plan(run, reference=[run]) == ("anomalies", "correlation")


def test_plan__another_version_of_the_package_makes_everything_due(run: Run) -> None:
    old = {name: {**stage, "package_version": "0.0.0"} for name, stage in run.stages.items()}
    assert plan(dataclasses.replace(run, stages=old)) == ("index", "anomalies", "correlation")


def test_plan__new_records_make_everything_due(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    assert plan(analyze(tmp_path / "run")) == ()
    with LogWriter(tmp_path / "run") as writer:
        writer.append("scalars", 1000, _scalars())
    assert plan(open_run(tmp_path / "run")) == ("index", "anomalies", "correlation")


def _scalars() -> dict[str, Any]:
    names = ("loss", "grad_norm", "wall_time", "recorder_seconds")
    return {**dict.fromkeys(names, 1.0), "learning_rate": np.array([0.1]), "steps": 1, "step_skipped": 0}


def test_analyze__without_validation_gives_what_is_there(tmp_path: Path) -> None:
    simulate(tmp_path / "run", model="tiny", iterations=30)
    run = analyze(tmp_path / "run")
    assert run.has("index/model")
    assert run.has("anomalies/filters")
    assert not any(group.startswith("correlation/") for group in run.groups)


def test_analyze__without_filters_gives_what_is_there(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "run")
    writer.coordinates(f"validation/{VIEW}", {"image": np.arange(4)})
    for number in range(6):
        answers = np.array([0, 1, number % 2, 1])
        row = {"predicted": answers.astype(np.int16), "correct": answers.astype(np.int8)}
        writer.append(f"validation/{VIEW}", number, {**row, "loss": np.full(4, 0.5, np.float16)})
    writer.close()
    run = analyze(tmp_path / "run")
    assert run.has(f"index/validation/{VIEW}/images")
    assert not run.has("index/model")


def test_analyze__reports_the_forecast_first_and_progress_within_bounds(path: Path) -> None:
    seen: list[tuple[str, float]] = []
    analyze(path, stages=["index"], progress=lambda what, share: seen.append((what, share)))
    assert seen[0][0].startswith("index: ")
    assert " tasks, reads " in seen[0][0]
    shares = [share for what, share in seen if what == "index"]
    assert shares == sorted(shares), "one piece of work, from its begin to its end"
    assert shares[0] == 0
    assert shares[-1] == 1
    assert len(shares) > 10


def test_analyze__user_mistakes_are_one_line(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stages are index, anomalies, correlation"):
        analyze(path, stages=["idnex"])
    with pytest.raises(NotARunError):
        analyze(tmp_path / "nothing")
    LogWriter(tmp_path / "empty").close()
    with pytest.raises(MissingGroupError, match="holds nothing yet") as caught:
        analyze(tmp_path / "empty")
    assert isinstance(caught.value, DeepTrackerError)
    assert "\n" not in str(caught.value)
