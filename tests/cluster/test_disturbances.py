"""Workers that freeze, and workers that come while an analysis runs: the result is the same."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from same import assert_same

from deeptracker.analysis import analyze
from deeptracker.cluster import Profile, connect
from deeptracker.store import Run


def test_analyze__a_frozen_worker_is_given_up_and_a_new_one_takes_part(
    path: Path, alone: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deeptracker.cluster.local.SECONDS_UNHEARD", 15.0)
    with connect(Profile(workers=2, threads=1)) as client:
        workers = client.run(os.getpid)
        address, victim = next(iter(workers.items()))

        def disturb() -> None:
            os.kill(victim, signal.SIGSTOP)
            client.cluster.scale(3)

        disturbing = threading.Timer(0.3, disturb)
        disturbing.start()
        try:
            run = analyze(path, stages=["index", "anomalies", "correlation"], client=client)
        finally:
            disturbing.join()
            with suppress(ProcessLookupError):  # its nanny has replaced it
                os.kill(victim, signal.SIGCONT)
        given_up = [event for _, event in client.get_events("scheduler") if event["action"] == "worker-ttl-timed-out"]
        assert address in [worker for event in given_up for worker in event["workers"]]
        client.wait_for_workers(3, timeout=30)
        assert len(set(client.run(os.getpid)) - set(workers)) >= 1
    assert_same(run, alone)
