"""Workers that freeze, and workers that come while an analysis runs: the result is the same."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from same import assert_same

from deeptracker.analysis import analyze
from deeptracker.cluster import Profile, connect
from deeptracker.store import Run


def test_analyze__a_frozen_worker_is_given_up_and_a_new_one_takes_part(
    path: Path, alone: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deeptracker.cluster._SECONDS_UNHEARD", 5.0)
    with connect(Profile(workers=2, threads=1)) as client:
        workers = client.run(os.getpid)
        victim = next(iter(workers.values()))

        def disturb() -> None:
            os.kill(victim, signal.SIGSTOP)
            client.cluster.scale(3)

        disturbing = threading.Timer(0.3, disturb)
        began = time.monotonic()
        disturbing.start()
        try:
            run = analyze(path, stages=["index", "anomalies", "correlation"], client=client)
        finally:
            disturbing.join()
            os.kill(victim, signal.SIGCONT) if _is_there(victim) else None
        assert time.monotonic() - began < 60
        client.wait_for_workers(3, timeout=30)
        assert len(set(client.run(os.getpid)) - set(workers)) >= 1
    assert_same(run, alone)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
