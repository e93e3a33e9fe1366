"""Workers on hosts that are reached by SSH."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeptracker.cluster.profile import Profile
from deeptracker.cluster.security import options, secured
from deeptracker.cluster.workers import ENVIRONMENT, PAGES, SECONDS_UNHEARD, first_line, missing, ready
from deeptracker.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_SECONDS_TO_CONNECT = 15
_SECONDS_TO_START = 120.0
_ASK = "import deeptracker, distributed; print(deeptracker.__version__, distributed.__version__)"


@contextmanager
def started(profile: Profile) -> Iterator[Client]:
    """A client of workers on several hosts; scheduler and workers end with the block.

    Every host is asked first whether it can work, so that what it lacks is said by name.

    Raises
    ------
    InputError : a host refuses, is not the one that it was, lacks Python or DeepTracker, or has another version.
    MissingExtraError : asyncssh is not installed.
    """
    try:
        import asyncssh  # noqa: F401
    except ImportError:
        raise missing("ssh", "asyncssh") from None
    from distributed import Client, SSHCluster

    settings = profile.settings
    hosts = settings["hosts"]
    first = settings.get("scheduler", hosts[0])
    python = settings.get("python", sys.executable)
    connection = _connection(settings)
    with ThreadPoolExecutor(1) as thread:  # a thread of its own: notebooks have a loop running in theirs
        thread.submit(asyncio.run, _asked(list(dict.fromkeys([first, *hosts])), python, connection)).result()
    workers = profile.workers or len(hosts)
    with secured(profile.tls, settings.get("shared", Path.home())) as security:
        common: dict[str, Any] = {"dashboard_address": PAGES}
        if "interface" in settings:
            common["interface"] = settings["interface"]
        if security is not None:
            common |= {"protocol": "tls://", "security": options(security)}
        each = common | {"nthreads": profile.threads, "env": ENVIRONMENT}
        if profile.memory is not None:
            each["memory_limit"] = profile.memory
        if "directory" in settings:
            each["local_directory"] = settings["directory"]
        try:
            cluster = SSHCluster(
                [first, *(hosts[number % len(hosts)] for number in range(workers))],
                connect_options=connection,
                worker_options=each,
                scheduler_options=common | {"worker_ttl": SECONDS_UNHEARD, "port": 0},
                remote_python=python,
                security=security,
                silence_logs=logging.WARNING,
            )
        except Exception as error:  # Dask raises Exception itself where a process ends before it says its address
            raise InputError(f"ssh: scheduler or workers did not start: {first_line(error)}; {_REACHED}") from None
        with cluster, Client(cluster) as client:
            ready(client, workers, profile.wait or _SECONDS_TO_START, _REACHED)
            yield client


_REACHED = "hosts must reach one another, and this machine the first of them, on any port above 1023"


def _connection(settings: Any) -> dict[str, Any]:
    """Options of a connection as asyncssh calls them. Host keys are always checked."""
    names = {"user": "username", "port": "port", "key": "client_keys", "known_hosts": "known_hosts"}
    asked = {theirs: settings[ours] for ours, theirs in names.items() if ours in settings}
    if "client_keys" in asked:
        asked["client_keys"] = [asked["client_keys"]]
    return asked | {"connect_timeout": _SECONDS_TO_CONNECT}


async def _asked(hosts: list[str], python: str, connection: dict[str, Any]) -> None:
    """Ask all hosts at once; the first, in their order, that cannot work is what the user hears of."""
    said = await asyncio.gather(*(_lacks(host, python, connection) for host in hosts))
    for host, lack in zip(hosts, said, strict=True):
        if lack:
            raise InputError(f"ssh: {host}: {lack}")


async def _lacks(host: str, python: str, connection: dict[str, Any]) -> str | None:
    """Why a host cannot work, or None."""
    import asyncssh
    import distributed

    from deeptracker import __version__

    try:
        async with asyncssh.connect(host, **connection) as connected:
            done = await connected.run(f"{shlex.quote(python)} -c {shlex.quote(_ASK)}")
    except asyncssh.HostKeyNotVerifiable:
        return "its key is not in known_hosts: log in once by hand (ssh HOST), or name the file with known_hosts"
    except asyncssh.PermissionDenied:
        return "it refuses the login: set user and key, and put the public key into its authorized_keys"
    except (asyncssh.Error, OSError, TimeoutError) as error:
        return f"cannot be reached: {first_line(error)}"
    said = str(done.stdout or "").split()
    if done.exit_status != 0 or len(said) != 2:
        lines = str(done.stderr or "").strip().splitlines()
        return f"{python} cannot import deeptracker: {lines[-1] if lines else 'it said nothing'} (set python)"
    if said != [__version__, distributed.__version__]:
        ours = f"deeptracker {__version__} and distributed {distributed.__version__}"
        return f"has deeptracker {said[0]} and distributed {said[1]}, but {ours} are here: install the same"
    return None


__all__ = ["started"]
