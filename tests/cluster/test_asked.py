"""What the library that starts the workers of a kind is asked for. Nothing is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deeptracker.cluster import Profile, connect
from deeptracker.cluster.workers import ENVIRONMENT, PAGES
from deeptracker.errors import InputError


class Seen(RuntimeError):
    """Instead of a cluster."""


def asked(patch: pytest.MonkeyPatch, library: str, profile: Profile) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with which a class of a library was called."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def called(*arguments: Any, **options: Any) -> None:
        calls.append((arguments, options))
        raise Seen("seen")

    patch.setattr(library, called)
    with pytest.raises((InputError, Seen), match="seen"), connect(profile):
        pass
    (call,) = calls
    return call


def of_ssh(patch: pytest.MonkeyPatch, profile: Profile) -> tuple[list[str], list[str], dict[str, Any]]:
    """Hosts that are asked whether they can work, hosts of scheduler and workers, and the options of all."""
    looked_at: list[str] = []

    async def look(hosts: list[str], python: str, connection: dict[str, Any]) -> None:
        looked_at.extend(hosts)

    patch.setattr("deeptracker.cluster.ssh._asked", look)
    (hosts,), options = asked(patch, "distributed.SSHCluster", profile)
    return looked_at, hosts, options


def test_ssh__the_first_host_has_the_scheduler_and_each_host_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at, hosts, options = of_ssh(monkeypatch, Profile(kind="ssh", settings={"hosts": ["a", "b", "c"]}))
    assert looked_at == ["a", "b", "c"]
    assert hosts == ["a", "a", "b", "c"]
    worker = {"dashboard_address": PAGES, "nthreads": 1, "env": ENVIRONMENT}
    assert options["worker_options"] == worker  # no limit of memory, no folder, no interface of its own
    assert options["scheduler_options"] == {"dashboard_address": PAGES, "worker_ttl": 60, "port": 0}
    assert "known_hosts" not in options["connect_options"], "asyncssh checks the user's own"


def test_ssh__holds_what_the_profile_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"scheduler": "head", "user": "me", "port": 2222, "key": "k", "known_hosts": "h", "python": "p"}
    places = {"interface": "ib0", "directory": "/scratch"}
    settings = {"hosts": ["a", "b"], **more, **places}
    profile = Profile(kind="ssh", workers=3, threads=4, memory="2GiB", settings=settings)
    looked_at, hosts, options = of_ssh(monkeypatch, profile)
    assert looked_at == ["head", "a", "b"]
    assert hosts == ["head", "a", "b", "a"]
    asked_of_worker = {"nthreads": 4, "memory_limit": "2GiB", "local_directory": "/scratch", "interface": "ib0"}
    assert options["worker_options"].items() >= asked_of_worker.items()
    assert options["scheduler_options"]["interface"] == "ib0"
    assert options["remote_python"] == "p"
    named = {"username": "me", "port": 2222, "client_keys": ["k"], "known_hosts": "h"}
    assert options["connect_options"].items() >= named.items()


def test_slurm__holds_what_the_profile_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeptracker.cluster.slurm.shutil.which", lambda name: f"/bin/{name}")
    settings = {"workers_per_job": 2, "python": "p", "directory": "/scratch", "logs": "~/logs", "interface": "ib0"}
    profile = Profile(kind="slurm", threads=3, memory="1GiB", settings=settings)
    _, options = asked(monkeypatch, "dask_jobqueue.SLURMCluster", profile)
    assert (options["cores"], options["processes"], options["memory"]) == (6, 2, f"{2 << 30}B")
    assert (options["python"], options["local_directory"], options["interface"]) == ("p", "/scratch", "ib0")
    assert options["log_directory"] == str(Path.home() / "logs")
    assert options["scheduler_options"] == {"worker_ttl": 60, "dashboard_address": PAGES}
    _, plain = asked(monkeypatch, "dask_jobqueue.SLURMCluster", Profile(kind="slurm", memory="1GiB"))
    assert not {"python", "local_directory", "interface", "log_directory", "queue", "account"} & set(plain)


def test_local__has_as_many_workers_as_cores_for_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    library = "distributed.deploy.subprocess.SubprocessCluster"
    _, options = asked(monkeypatch, library, Profile(threads=2, memory="3GiB"))
    assert (options["n_workers"], options["threads_per_worker"]) == (3, 2)
    assert options["worker_kwargs"]["memory_limit"] == "3GiB"
    assert options["dashboard_address"] == options["worker_kwargs"]["dashboard_address"] == PAGES
    _, options = asked(monkeypatch, library, Profile(threads=9))
    assert options["n_workers"] == 1
    assert "memory_limit" not in options["worker_kwargs"]


def test_scheduler__is_waited_for_as_long_as_the_profile_says(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = Profile(kind="scheduler", wait=7, settings={"address": "tcp://a:1"})
    (address,), options = asked(monkeypatch, "distributed.Client", profile)
    assert (address, options["timeout"], options["security"]) == ("tcp://a:1", 7, None)
