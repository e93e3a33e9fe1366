"""Several hosts with addresses of their own, one of them cut off while it computes: the result is the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from same import assert_same

from deeptracker.store import Run, open_run

UNSHARE = ["unshare", "--map-root-user", "--net"]


def lacking() -> str:
    """Why there can be no hosts here; empty where there can."""
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"{tool} is not on the PATH"
    tried = "ip link add bridge type bridge && ip link add cable1 type veth peer name end && unshare --net true"
    done = subprocess.run([*UNSHARE, "sh", "-c", tried], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"network namespaces are not allowed here: {done.stderr.strip()}"


def test_analyze__on_several_hosts_gives_the_same_when_one_is_cut_off(
    fresh: Path, alone: Run, tmp_path: Path
) -> None:
    if reason := lacking():
        pytest.skip(reason)
    script = Path(__file__).parent / "hosts.py"
    with (tmp_path / "said").open("w") as said, (tmp_path / "log").open("w") as log:
        hosts = subprocess.Popen(
            [*UNSHARE, sys.executable, str(script), str(fresh)], stdout=said, stderr=log, start_new_session=True
        )
        try:
            hosts.wait(timeout=240)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(hosts.pid, signal.SIGKILL)
    assert hosts.returncode == 0, (tmp_path / "log").read_text()
    told = json.loads((tmp_path / "said").read_text())
    assert len({address.rsplit(":", 1)[0] for address in told["hosts"]}) == 3
    assert told["cut"] in told["given up"]
    assert_same(open_run(fresh), alone)
