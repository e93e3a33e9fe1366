"""The live page: what was committed is drawn, events of the analysis become alerts, a zoom is left alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import growing
import numpy as np
import psutil
import pytest
from serving import ask, awaited, connected, running, token

from deeptracker.app import watching
from deeptracker.app.live import Live
from deeptracker.app.watching import Watch
from deeptracker.store import LogWriter

EVENT: dict[str, Any] = {
    "rank": 1, "kind": "anomaly", "cause": "dead-filters", "iteration": 120, "end": 130, "known_at": 125,
    "layers": ["conv1"], "filters": [], "classes": [], "images": [], "false_per_1000": 0.01, "evidence": [],
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    growing.record(tmp_path / "run", 0, 200, None)
    return tmp_path / "run"


def drawn(live: Live) -> float:
    """Where the strips end."""
    assert live.strips is not None
    data = next(iter(live.strips.sources.values())).data
    return float(data["x"][0] + data["dw"][0])


def test_live__takes_in_what_was_recorded_since(run: Path) -> None:
    live = Live(run, Watch(str(run)))
    assert live.look() is False
    before, figures = drawn(live), list(live.strips.figures) if live.strips is not None else []
    growing.record(run, 200, 420, None)
    live.pause = 0
    assert live.look() is True
    assert before == 200
    assert drawn(live) == 420
    assert live.strips is not None
    assert live.strips.figures == figures  # drawn into the same figures
    assert (live.timeline.x_range.start, live.timeline.x_range.end) == live.timeline.full
    assert live.timeline.full[1] >= 420
    assert "iteration 419" in live.status.text
    loss = max(
        (np.asarray(r.data_source.data["x"]) for r in live.overview.curves.renderers if "x" in r.data_source.data),
        key=len,
    )
    assert loss.max() >= 415


def test_live__a_zoom_stays_where_it_is(run: Path) -> None:
    live = Live(run, Watch(str(run)))
    live.timeline.show(50, 90)
    growing.record(run, 200, 300, None)
    live.pause = 0
    live.look()
    assert (live.timeline.x_range.start, live.timeline.x_range.end) == (50, 90)
    assert live.timeline.x_range.bounds == live.timeline.full


def test_live__an_event_that_comes_up_is_an_alert_and_a_label_is_not(run: Path) -> None:
    watched = Watch(str(run))
    live = Live(run, watched)
    assert "first analysis is under way" in live.list.before
    label = {**EVENT, "kind": "label", "cause": "lr-drop", "iteration": 60}
    watched.take({"told": [EVENT, label], "new": [EVENT, label], "iteration": 199, "seconds": 0.4})
    live.pause = 0
    live.look()
    assert "Dead filters" in live.alerts.text
    assert "Learning-rate" not in live.alerts.text
    assert len(live.list.cards) == 1
    assert "1 event by now" in live.list.before
    late = Live(run, watched)  # somebody who comes later has the list, no alert of old
    assert late.alerts.text == ""
    assert len(late.list.cards) == 1


def test_live__a_run_that_vanishes_is_said(run: Path) -> None:
    live = Live(run, Watch(str(run)))
    run.rename(run.with_name("gone"))
    assert live.look() is False
    assert "cannot be read" in live.status.text


def test_watching__prints_updates_as_json_and_says_what_went_wrong(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watching.main(str(tmp_path / "nowhere"))
    watched = Watch("x")
    watched.take(json.loads(capsys.readouterr().out))
    assert "nowhere" in watched.problem
    command = [
        sys.executable,
        "-c",
        'print(\'no json\'); print(\'{"told": [], "new": [], "iteration": 5, "seconds": 1}\')',
    ]
    real = watching.subprocess.Popen
    monkeypatch.setattr(watching.subprocess, "Popen", lambda _, **options: real(command, **options))
    watched = Watch("y")
    watched.start()
    assert watched.process is not None
    watched.process.wait(30)
    for _ in range(100):
        if watched.done:
            break
        time.sleep(0.05)
    assert (watched.updates, watched.iteration, watched.problem) == (1, 5, "")


def test_watching__has_a_process_for_so_many_runs_and_tells_the_others_why_not(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    real = watching.subprocess.Popen
    monkeypatch.setattr(watching.subprocess, "Popen", lambda _, **options: real(command, **options))
    others = [watching.watch(f"other {number}") for number in range(watching.MOST)]
    try:
        for other in [*others, others[0]]:
            other.join()
        first, live = others[0].process, Live(run)
        live.enter()
        assert live.watch.process is None
        live.pause = 0
        live.look()
        assert "deeptracker analyze RUN --follow" in live.status.text
        assert "deeptracker analyze RUN --follow" in live.list.before

        others[0].leave()
        assert others[0].process is first  # another page shows it
        others[0].leave()
        assert others[0].process is None
        assert first is not None
        assert first.poll() is not None
        assert live.watch.process is not None
        assert live.watch.problem == ""
        last = live.watch.process
        live.leave()
        live.leave()
        assert (live.watch.pages, last.poll() is None) == (0, False)
    finally:
        watching.stop_all()


def test_watching__begins_with_the_browser_of_a_page_and_ends_with_its_session(run: Path) -> None:
    ready = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": {
        "type": "event", "name": "document_ready", "values": {"type": "map"},
    }}  # fmt: skip

    def processes() -> list[Any]:
        return [one.process for one in watching._watches.values() if one.process is not None]

    def wait_for(number: int) -> None:
        until = time.monotonic() + 40
        while len(processes()) != number:
            assert time.monotonic() < until
            time.sleep(0.2)

    async def visit(port: int, name: str) -> Any:
        async with connected(port, name, "/live") as socket:
            await socket.read_message()
            for part in ({"msgid": "1", "msgtype": "PATCH-DOC"}, {}, {"events": [ready]}):
                await socket.write_message(json.dumps(part))
            await asyncio.to_thread(wait_for, 1)
            return processes()[0]

    with LogWriter(run), running(run, itself=True) as port:
        name = token(ask(port, "/live")[2])
        time.sleep(1)
        assert processes() == []  # nobody shows it
        process = awaited(visit(port, name))
        wait_for(0)
        assert process.wait(10) != 0


def test_watching__ends_with_a_server_that_was_killed(run: Path) -> None:
    code = (
        "import sys, time; from deeptracker.app.watching import Watch; watch = Watch(sys.argv[1]); watch.start()\n"
        "while not watch.updates: time.sleep(0.05)\n"
        "print(watch.process.pid, flush=True); time.sleep(60)"
    )
    with LogWriter(run):  # the training goes on, and does nothing new: its watch has nothing to print
        server = subprocess.Popen([sys.executable, "-c", code, str(run)], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        watch = psutil.Process(int(server.stdout.readline()))
        assert watch.is_running()
        server.kill()
        server.wait()
        server.stdout.close()
        gone, _ = psutil.wait_procs([watch], timeout=10)
        assert gone == [watch]
