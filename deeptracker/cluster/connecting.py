"""From a profile or an address to a Dask client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deeptracker.cluster import kubernetes, local, scheduler, slurm, ssh
from deeptracker.cluster.profile import SUPPORTED, Profile, read_profile
from deeptracker.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_KINDS: Mapping[str, Callable[[Profile], AbstractContextManager[Client]]] = {
    "local": local.started,
    "scheduler": scheduler.attached,
    "ssh": ssh.started,
    "slurm": slurm.started,
    "kubernetes": kubernetes.started,
}


@contextmanager
def connect(profile_or_address: str | Path | Profile = "local") -> Iterator[Client]:
    """A Dask client for the time of a ``with`` block; workers that it started end with the block.

    Parameters
    ----------
    profile_or_address : ``local``, a YAML profile, a ``Profile``, or the address of a running scheduler.

    Raises
    ------
    InputError : the profile is unknown, nothing answers at the address, or workers cannot be started.
    MissingExtraError : the library that starts workers of this kind is not installed.
    """
    if isinstance(profile_or_address, Profile):
        profile = profile_or_address
    elif isinstance(profile_or_address, str) and "://" in profile_or_address:
        profile = Profile(kind="scheduler", settings={"address": profile_or_address})
    else:
        profile = read_profile(profile_or_address)
    if profile.kind not in _KINDS:
        raise InputError(f"there is no kind of cluster {profile.kind!r}: give {SUPPORTED}")
    with _KINDS[profile.kind](profile) as client:
        yield client


__all__ = ["connect"]
