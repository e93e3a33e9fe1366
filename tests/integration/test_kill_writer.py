"""kill -9 of a process that records: what was reported as committed is there, and recording goes on."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from deeptracker.store import LogWriter, open_run, verify
from soak.endless import VIEW, check, recording

ROWS_PER_SHARD = 64


def test_kill__leaves_every_committed_row_and_recording_goes_on(tmp_path):
    path, rng = tmp_path / "run", random.Random(os.getpid())
    rows, crossed = 0, 0
    for _ in range(8):
        with recording(path) as (child, _):
            time.sleep(rng.uniform(0.05, 0.7))
            child.send_signal(signal.SIGKILL)
            said = child.stdout.read().splitlines()
        committed = [int(line.split()[1]) for line in said if line.startswith("committed") and line.split()[1:]]
        # The last line may be torn by the kill.
        reported = max(committed[:-1], default=-1)
        if rows or reported >= 0:
            now = check(path, max(reported, rows - 1))
            assert now >= rows
            crossed += now // ROWS_PER_SHARD > rows // ROWS_PER_SHARD
            rows = now
    assert crossed >= 2, "the kills never came near a shard"
    assert verify(path) == []
    with LogWriter(path) as writer:
        writer.cut(rows // 2)
        assert writer.last("scalars") == rows // 2 - 1
    assert check(path, rows // 2 - 1) == rows // 2


def test_reader__sees_whole_snapshots_while_rows_are_written(tmp_path):
    path = tmp_path / "run"
    with recording(path):
        deadline, seen, frozen = time.monotonic() + 4, [], None
        while time.monotonic() < deadline:
            run = open_run(path)
            if run.has("scalars") and run.has(VIEW):
                if frozen is None:
                    frozen = run.dataset("scalars"), run.commit.groups["scalars"].rows
                seen.append(check(path, 0))
            time.sleep(0.02)
        assert len(set(seen)) > 2
        assert seen == sorted(seen)
        old, rows = frozen
        np.testing.assert_array_equal(old["loss"].values, np.arange(rows) / 4)


@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "1 / 0"])
def test_process_that_ends_without_close__keeps_its_rows(tmp_path, ending):
    program = (
        "import sys; from deeptracker.store import LogWriter\n"
        "writer = LogWriter(sys.argv[1], flush_secs=60)\n"
        f"writer.append('scalars', 0, {{'loss': 1.0}})\n{ending}\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "run")], capture_output=True, timeout=60)
    assert open_run(tmp_path / "run").scalars.sizes["iteration"] == 1
