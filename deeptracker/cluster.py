"""From a profile or an address to a Dask client: the only place that starts workers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeptracker.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_SCHEMES = ("tcp://", "tls://", "ws://", "wss://", "ucx://")
_SUPPORTED = '"local", a YAML file with "kind: local", or the address of a scheduler (tcp://host:port)'
_SECONDS_TO_CONNECT = 15
# A worker that is not heard of for so long is given up, and what it had is done again; Dask itself waits 5 minutes.
_SECONDS_UNHEARD = 60.0


@dataclass(frozen=True, slots=True)
class Profile:
    """How to start workers.

    Parameters
    ----------
    kind : ``local``: processes on this machine.
    workers : number of processes, None = one a core.
    threads : threads of a worker.
    memory : limit of a worker as Dask writes it (``4GiB``), None = its share of the machine.
    """

    kind: str = "local"
    workers: int | None = None
    threads: int = 1
    memory: str | None = None


def read_profile(source: str | Path) -> Profile:
    """A profile by name (``local``) or from a YAML file.

    Raises
    ------
    InputError : no such profile or file, an unknown kind or key, or a value that does not fit.
    """
    if str(source) == "local":
        return Profile()
    path = Path(source)
    if path.suffix not in {".yaml", ".yml"}:
        raise InputError(f"cluster {str(source)!r} is not supported: give {_SUPPORTED}")
    import yaml  # type: ignore[import-untyped]  # here: Dask brings it, and most calls need none

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cluster profile {path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise InputError(f"cluster profile {path} is no valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, Mapping):
        raise InputError(f'cluster profile {path} is empty: it needs at least "kind: local"')
    return _checked(path, content)


def _checked(path: Path, content: Mapping[str, Any]) -> Profile:
    kind = content.get("kind", "local")
    if kind != "local":
        raise InputError(f"cluster profile {path}: kind {kind!r} is not supported yet: give {_SUPPORTED}")
    known = set(Profile.__dataclass_fields__)
    unknown = sorted(set(map(str, content)) - known)
    if unknown:
        raise InputError(f"cluster profile {path}: unknown key {unknown[0]!r}; it takes {', '.join(sorted(known))}")
    for name in ("workers", "threads"):
        value = content.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"cluster profile {path}: {name} is {value!r}, but must be a whole number from 1 on")
    memory = content.get("memory")
    return Profile(
        workers=content.get("workers"),
        threads=content.get("threads") or 1,
        memory=None if memory is None else str(memory),
    )


@contextmanager
def connect(profile_or_address: str | Path | Profile = "local") -> Iterator[Client]:
    """A Dask client for the time of a ``with`` block; workers that it started end with the block.

    Parameters
    ----------
    profile_or_address : ``local``, a YAML profile, a ``Profile``, or the address of a running scheduler.

    Raises
    ------
    InputError : the profile is unknown, or nothing answers at the address.
    """
    if isinstance(profile_or_address, str) and profile_or_address.startswith(_SCHEMES):
        with _attached(profile_or_address) as client:
            yield client
        return
    profile = profile_or_address
    if not isinstance(profile, Profile):
        profile = read_profile(profile)
    with _started(profile) as client:
        yield client


@contextmanager
def _attached(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT)
    except (OSError, TimeoutError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"no Dask scheduler answers at {address}: {reason}") from None
    with client:
        yield client


@contextmanager
def _started(profile: Profile) -> Iterator[Client]:
    # Not LocalCluster: its workers import the caller's script again, and end it where that has no __main__ guard.
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    workers = profile.workers or max(1, (os.cpu_count() or 1) // profile.threads)
    options: dict[str, Any] = {} if profile.memory is None else {"memory_limit": profile.memory}
    with (
        SubprocessCluster(
            n_workers=workers,
            threads_per_worker=profile.threads,
            dashboard_address=":0",
            scheduler_kwargs={"worker_ttl": _SECONDS_UNHEARD},
            worker_kwargs=options,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers)
        yield client


__all__ = ["Profile", "connect", "read_profile"]
