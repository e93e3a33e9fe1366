"""What the tests of views, exports and pages share: one analysed run on disk with known events, one only recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deeptracker.analysis import analyze
from deeptracker.conform import build
from deeptracker.store import Run, open_run
from deeptracker.testing import simulate
from soak.figures import Figure

SIZES: dict[str, Any] = {"model": "tiny", "iterations": 320, "images": 60, "passes": 40, "classes": 3, "seed": 2}


def _event(rank: int, kind: str, cause: str, iteration: int, **more: Any) -> dict[str, Any]:
    plain = {
        "known_at": iteration,
        "end": iteration,
        "layers": [],
        "filters": [],
        "classes": [],
        "images": [],
        "false_per_1000": None,
        "evidence": [],
    }
    return {"rank": rank, "kind": kind, "cause": cause, "iteration": iteration, **plain, **more}


EVENTS = [
    _event(
        1,
        "anomaly",
        "dead-filters",
        200,
        end=240,
        layers=["layer2.0.conv1"],
        filters=[{"layer": "layer2.0.conv1", "channel": 3, "score": 11.5}],
        classes=["class 2"],
        images=[2, 5, 8],
        false_per_1000=0.004,
        evidence=[{"text": "4 < 5 filters fell silent", "expression": "run.filters.g_rms", "for": True}],
    ),
    _event(2, "anomaly", "unknown", 120, layers=["conv1"], false_per_1000=0.4),
    _event(3, "label", "lr-drop", 160, evidence=[{"text": "the learning rate fell", "expression": "", "for": True}]),
]


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nobody analysed."""
    path = tmp_path_factory.mktemp("recorded") / "plain"
    simulate(path, **SIZES, thumbnails=True)
    return open_run(path)


@pytest.fixture(scope="session")
def unvalidated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run without a validation set."""
    path = tmp_path_factory.mktemp("unvalidated") / "blind"
    simulate(path, **{**SIZES, "images": 0, "passes": 0, "iterations": 80})
    return open_run(path)


@pytest.fixture(scope="session")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An analysed run whose events are ``EVENTS``, whatever the detector says of it."""
    path: Path = tmp_path_factory.mktemp("analysed") / "seen"
    simulate(path, **SIZES, thumbnails=True)
    run = analyze(path)
    kept = {g: run.dataset(g).load() for g in run.groups if g.startswith("anomalies/") and g != "anomalies/events"}
    with run.write_stage("anomalies", {}) as writer:
        for group, dataset in kept.items():
            writer.put(group, dataset.reset_index("filter", drop=True) if "filter" in dataset.indexes else dataset)
        arrays: dict[str, Any] = {
            "document": np.array([json.dumps(event) for event in EVENTS], dtype=object),
            "rank": np.array([event["rank"] for event in EVENTS], np.int32),
            "iteration": np.array([event["iteration"] for event in EVENTS], np.int64),
        }
        writer.put("anomalies/events", build("anomalies/events", arrays, {}))
    return open_run(path)


@pytest.fixture(scope="session")
def object_server() -> Iterator[Any]:
    """An S3 API server with the bucket ``runs``; see ``objectstore``."""
    from soak.objectstore import ObjectStore

    store = ObjectStore()
    assert store.request("PUT", "/runs") == 200
    yield store
    store.stop()


@pytest.fixture
def buckets(object_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server, and an environment that leads to it."""
    for name, value in object_server.environment.items():
        monkeypatch.setenv(name, value)
    return object_server


@pytest.fixture
def stands(record_property: Callable[[str, object], None]) -> Callable[[Iterable[Figure]], None]:
    """Hears what an attack found: said at the end of the tests, and an error where anything went wrong."""

    def hear(found: Iterable[Figure]) -> None:
        for figure in found:
            record_property("figure", str(figure))
            assert figure.wrong == 0, str(figure)

    return hear


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [one for some in terminalreporter.stats.values() for one in some if getattr(one, "when", "") == "call"]
    figures = [value for one in reports for name, value in one.user_properties if name == "figure"]
    if figures:
        terminalreporter.write_sep("=", "reliability")
    for figure in sorted(figures):
        terminalreporter.write_line(figure)
