"""Workers as jobs of SLURM."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeptracker.cluster.profile import Profile
from deeptracker.cluster.security import secured
from deeptracker.cluster.workers import ENVIRONMENT, PAGES, SECONDS_UNHEARD, first_line, missing, ready
from deeptracker.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_SECONDS_IN_QUEUE = 3600.0


@contextmanager
def started(profile: Profile) -> Iterator[Client]:
    """A client of workers in jobs; the scheduler runs in this process, and the jobs are cancelled after the block.

    It begins when the first worker is there: others may stand in the queue for longer.

    Raises
    ------
    InputError : no sbatch, sbatch refuses the job, numbers that do not fit, no worker in time.
    MissingExtraError : dask-jobqueue is not installed.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise missing("slurm", "dask-jobqueue") from None
    from distributed import Client

    settings = profile.settings
    workers, each = profile.workers or settings.get("workers_per_job", 1), settings.get("workers_per_job", 1)
    if workers % each:
        raise InputError(f"workers is {workers}, which is no multiple of workers_per_job, {each}")
    if shutil.which("sbatch") is None:
        raise InputError("sbatch is not on the PATH: start the analysis where jobs can be submitted, on a login node")
    logs = str(Path(settings["logs"]).expanduser()) if "logs" in settings else None
    with secured(profile.tls, settings.get("shared", Path.home())) as security:
        try:
            cluster = SLURMCluster(
                job_cls=_job(),
                security=security,
                scheduler_options={"worker_ttl": SECONDS_UNHEARD, "dashboard_address": PAGES},
                **_options(profile, each, logs),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"no scheduler for jobs of SLURM on this machine: {first_line(error)}") from None
        with cluster:
            cluster.scale(jobs=workers // each)
            cluster.sync(_submitted, cluster)
            refused = [job.refused for job in cluster.workers.values() if job.refused]
            if refused:
                raise InputError(f"sbatch did not take the job: {refused[0]}")
            where = f"in {logs}" if logs else "in slurm-*.out of this folder"
            with Client(cluster) as client:
                ready(
                    client,
                    1,
                    profile.wait or _SECONDS_IN_QUEUE,
                    f"look at squeue --me, and at what the jobs said {where}",
                )
                yield client


def _options(profile: Profile, each: int, logs: str | None) -> dict[str, Any]:
    """The job as dask-jobqueue wants to have it told."""
    from dask.utils import parse_bytes

    settings = profile.settings
    exported = [f"export {name}={shlex.quote(value)}" for name, value in ENVIRONMENT.items()]
    asked: dict[str, Any] = {
        "job_name": "deeptracker",
        "cores": each * profile.threads,
        "processes": each,
        "memory": f"{each * parse_bytes(profile.memory)}B",
        "job_extra_directives": settings.get("directives", []),
        "job_script_prologue": [*exported, *settings.get("prologue", [])],
        "worker_extra_args": ["--dashboard-address", PAGES],
    }
    names = {
        "partition": "queue",
        "account": "account",
        "walltime": "walltime",
        "interface": "interface",
        "python": "python",
        "directory": "local_directory",
    }
    asked |= {theirs: settings[ours] for ours, theirs in names.items() if ours in settings}
    return asked if logs is None else asked | {"log_directory": logs}


def _job() -> type:
    """A job that keeps why it was refused: dask-jobqueue would log it, and wait for its workers for ever."""
    from dask_jobqueue.slurm import SLURMJob
    from distributed.deploy.spec import ProcessInterface

    class Job(SLURMJob):
        refused: str | None = None

        async def start(self) -> None:
            try:
                await super().start()
            except (OSError, RuntimeError, ValueError) as error:
                said = str(error).partition("stderr:")[2].strip() or str(error)
                self.refused = said.splitlines()[0]
                await ProcessInterface.start(self)

    return Job


async def _submitted(cluster: Any) -> None:
    await cluster


__all__ = ["started"]
