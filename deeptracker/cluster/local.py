"""Workers on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from deeptracker.cluster.profile import Profile
from deeptracker.cluster.security import options, secured
from deeptracker.cluster.workers import ENVIRONMENT, PAGES, SECONDS_UNHEARD, ready

if TYPE_CHECKING:
    from distributed import Client

_SECONDS_TO_START = 120.0


@contextmanager
def started(profile: Profile) -> Iterator[Client]:
    """A client of as many processes as the profile asks for; they end with the block."""
    # Not LocalCluster: its workers import the caller's script again, and end it where that has no __main__ guard.
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    workers = profile.workers or max(1, (os.cpu_count() or 1) // profile.threads)
    with secured(profile.tls) as security:
        for_scheduler: dict[str, Any] = {"worker_ttl": SECONDS_UNHEARD}
        for_workers: dict[str, Any] = {"env": ENVIRONMENT, "dashboard_address": PAGES}
        if profile.memory is not None:
            for_workers["memory_limit"] = profile.memory
        if security is not None:
            for_scheduler |= {"protocol": "tls://", "security": options(security)}
            for_workers |= {"protocol": "tls://", "security": options(security)}
        with (
            SubprocessCluster(
                n_workers=workers,
                threads_per_worker=profile.threads,
                dashboard_address=PAGES,
                scheduler_kwargs=for_scheduler,
                worker_kwargs=for_workers,
                security=security,
            ) as cluster,
            Client(cluster) as client,
        ):
            ready(client, workers, profile.wait or _SECONDS_TO_START, "is the machine short of memory or processes?")
            yield client


__all__ = ["started"]
