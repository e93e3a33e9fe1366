"""What people say of events stays with the run, is found again after a new analysis, and loses nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deeptracker import analyze, open_run
from deeptracker.cli.commands import app
from deeptracker.errors import DamagedRunError, InputError, LockedRunError
from deeptracker.store.place import place_of
from deeptracker.store.remarks import REMARKS, Remark, keep_remark, load_remarks, remarked
from deeptracker.testing import simulate


def event(iteration: int = 100, rank: int = 1, **what: Any) -> dict[str, Any]:
    usual = {"kind": "anomaly", "cause": "bad-batch", "layers": ["a", "b"], "classes": ["3"]}
    return {"rank": rank, "iteration": iteration, **usual, **what}


@pytest.mark.parametrize(
    ("other", "fits"),
    [
        (event(102), True),
        (event(103), False),
        (event(101, cause="unknown", layers=["b"]), True),
        (event(101, cause="unknown", layers=["c"], classes=[3]), True),
        (event(101, cause="unknown", layers=["c"], classes=[]), False),
        (event(kind="label"), False),
    ],
)
def test_remark__fits_the_event_when_it_is_found_anew(other: dict[str, Any], fits: bool) -> None:
    assert Remark.on(event(), "confirmed", "").fits(other) is fits


def test_remarks__take_the_place_of_earlier_ones_and_can_be_taken_back(tmp_path: Path) -> None:
    events = [event(100, 1), event(200, 2)]
    keep_remark(place_of(tmp_path), events, 1, "confirmed", "the reader of batch 100 was broken")
    keep_remark(place_of(tmp_path), events, 2, "dismissed")
    keep_remark(place_of(tmp_path), events, 2, None, "only a restart – né")
    first, second = (one["remark"] for one in remarked(events, load_remarks(place_of(tmp_path))))
    assert (first["verdict"], first["note"]) == ("confirmed", "the reader of batch 100 was broken")
    assert (second["verdict"], second["note"]) == (None, "only a restart – né")
    keep_remark(place_of(tmp_path), events, 1)
    assert [one.iteration for one in load_remarks(place_of(tmp_path))] == [200]


def test_remarks__what_cannot_be_kept_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    keep_remark(place_of(tmp_path), [event()], 1, "confirmed")
    with pytest.raises(InputError, match="no event of rank 2: ranks are 1 to 1"):
        keep_remark(place_of(tmp_path), [event()], 2, "confirmed")
    with pytest.raises(InputError, match="'maybe' is unknown: confirmed or dismissed"):
        keep_remark(place_of(tmp_path), [event()], 1, "maybe")
    held = place_of(tmp_path / f"{REMARKS}.lock").lock(tmp_path)
    with pytest.raises(LockedRunError):
        keep_remark(place_of(tmp_path), [event()], 1, "dismissed")
    held.release()
    assert [one.verdict for one in load_remarks(place_of(tmp_path))] == ["confirmed"]
    (tmp_path / REMARKS).write_text("[")
    with pytest.raises(DamagedRunError, match="move it away to go on without"):
        keep_remark(place_of(tmp_path), [event()], 1, "dismissed")
    assert (tmp_path / REMARKS).read_text() == "["


def test_events__shows_and_keeps_remarks_through_a_new_analysis(tmp_path: Path) -> None:
    path = tmp_path / "run"
    simulate(path, model="resnet20", iterations=900, images=200, passes=90)
    assert analyze(path).event_documents()
    runner = CliRunner()
    said = runner.invoke(app, ["events", str(path), "--on", "1", "--verdict", "confirmed", "--note", "seen"])
    assert said.exit_code == 0
    assert "confirmed: seen" in said.output
    analyze(path, stages=["anomalies"])
    shown = runner.invoke(app, ["events", str(path), "--json"])
    remarks = [one["remark"] for one in json.loads(shown.output)["events"]]
    assert (remarks[0]["verdict"], remarks[0]["note"]) == ("confirmed", "seen")
    assert remarks[1:] == [None] * len(remarks[1:])
    assert open_run(path).events()["remark"][0]["verdict"] == "confirmed"
    assert runner.invoke(app, ["events", str(path), "--note", "of what?"]).exit_code == 2
