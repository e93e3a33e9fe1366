"""SSH: an analysis by workers that a real SSH server starts, and what is said of hosts that cannot work."""

from __future__ import annotations

from pathlib import Path

import asyncssh
import pytest
import yaml
from command import Server, deeptracker
from same import assert_same

from deeptracker.cluster import Profile, connect
from deeptracker.errors import InputError
from deeptracker.store import Run, open_run


@pytest.fixture
def settings(server: Server) -> dict[str, object]:
    """Two names of this machine, for a login that works."""
    folder = server("ssh_server.py", "port")
    return {
        "hosts": ["127.0.0.1", "localhost"],
        "user": "somebody",
        "port": int((folder / "port").read_text()),
        "key": str(folder / "key"),
        "known_hosts": str(folder / "known_hosts"),
        "interface": "lo",
    }


def test_command__analyses_on_hosts_reached_by_ssh(
    fresh: Path, alone: Run, settings: dict[str, object], tmp_path: Path
) -> None:
    profile = tmp_path / "mine.yaml"
    content = {"kind": "ssh", "workers": 2, "memory": "1GiB", "tls": True, "shared": str(tmp_path), **settings}
    profile.write_text(yaml.safe_dump(content))
    done = deeptracker("analyze", fresh, "--cluster", profile)
    assert done.returncode == 0, done.stderr
    assert_same(open_run(fresh), alone)
    log = (Path(str(settings["key"])).parent / "commands").read_text()
    assert log.count("distributed.Nanny") == 2
    assert log.count("tls_ca_file") == 3
    assert not list(tmp_path.glob(".deeptracker-tls-*"))


def test_connect__says_in_one_line_what_a_host_lacks(settings: dict[str, object], tmp_path: Path) -> None:
    other = tmp_path / "other"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(other)
    other.chmod(0o600)
    empty = tmp_path / "known_hosts"
    empty.touch()
    stale = tmp_path / "python"
    stale.write_text("#!/bin/sh\necho 0.0.1 2020.1.0\n")
    stale.chmod(0o755)
    for wrong, said in (
        ({"port": 1}, "127.0.0.1: cannot be reached: .*Connect call failed"),
        ({"key": str(other)}, "127.0.0.1: it refuses the login: set user and key"),
        ({"known_hosts": str(empty)}, "127.0.0.1: its key is not in known_hosts"),
        ({"python": "/nowhere/python"}, "127.0.0.1: /nowhere/python cannot import deeptracker: .*not found"),
        ({"python": str(stale)}, "127.0.0.1: has deeptracker 0.0.1 and distributed 2020.1.0, but .* are here"),
        ({"hosts": ["127.0.0.1", "nowhere.invalid"]}, "nowhere.invalid: cannot be reached"),
        ({"interface": "nowhere0"}, "scheduler or workers did not start"),
    ):
        with pytest.raises(InputError, match=said) as caught, connect(Profile(kind="ssh", settings=settings | wrong)):
            pass
        assert "\n" not in str(caught.value)
