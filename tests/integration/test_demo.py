"""The main job of the README, whole: a real training with a planted fault, found and explained."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deeptracker.demo import run_demo
from deeptracker.errors import InputError


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return run_demo(fault="dead-filters", seed=5, out=tmp_path_factory.mktemp("demo") / "run", report=False)


def test_demo__first_event_is_the_planted_fault_at_its_time_and_layer(demo) -> None:
    truth = json.loads(demo.truth_path.read_text())
    first = demo.run.event_documents()[0]
    assert first["cause"] == "dead-filters"
    assert abs(first["iteration"] - truth["iteration"]) <= 2
    assert first["layers"][0] == truth["layers"][0]
    dead = {f["channel"] for f in first["filters"] if f["layer"] == truth["layers"][0] and f["score"] is None}
    assert dead == set(truth["channels"])


def test_demo__labels_its_learning_rate_drop_and_does_not_call_it_unusual(demo) -> None:
    labels = [event for event in demo.run.event_documents() if event["kind"] == "label"]
    assert [(event["cause"], event["iteration"]) for event in labels] == [("lr-drop", 300)]


def test_demo__truth_lies_outside_the_run(demo) -> None:
    assert demo.run.path not in demo.truth_path.parents
    assert not [f for f in demo.run.path.rglob("*") if "truth" in f.name]


def test_demo__trains_to_an_error_at_which_images_still_flip(demo) -> None:
    assert 0.05 <= demo.validation_error <= 0.15
    counts = demo.run.dataset("index/validation/validation/raw/all").event_counts
    late = counts.isel(validation=slice(60, None)).sel(event=["n→y", "y→n"]).sum("event")
    assert (late > 0).all()


def test_demo__evidence_can_be_followed_to_the_numbers(demo) -> None:
    run = demo.run
    for item in run.event_documents()[0]["evidence"]:
        values = eval(item["expression"], {"run": run, "slice": slice})
        assert np.isfinite(np.asarray(values, dtype=float)).any(), item


def test_demo__records_every_iteration_and_its_own_cost(demo) -> None:
    scalars = demo.run.scalars
    assert (np.diff(scalars.iteration) == 1).all()
    assert (scalars.recorder_seconds.values >= 0).all()
    assert demo.run.attributes["recorder"]["faults"] == 0
    assert demo.run.attributes["evaluation_noise"] == {"validation/raw": 0.0}


def test_demo__unknown_fault_and_a_folder_of_something_else_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="dead-filters"):
        run_demo(fault="gremlins", out=tmp_path / "x")
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="not made by a demo"):
        run_demo(out=tmp_path / "mine")
