"""What holds for workers of every kind: how many threads they take, and how long they are waited for."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from deeptracker.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from distributed import Client

# A worker that is not heard of for so long is given up, and what it had is done again; Dask itself waits 5 minutes.
SECONDS_UNHEARD = 60.0
# Pages of Dask say what is computed to whoever asks, also where the rest is encrypted: not beyond the machine.
PAGES = "127.0.0.1:0"
# Workers share the cores, so each task takes one: codecs (zarrs works with Rayon), linear algebra, k-means.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "BLOSC_NTHREADS": "1",
}


def ready(client: Client, number: int, seconds: float, remedy: str) -> None:
    """Wait until so many workers are there, and prepare all of them, and those that come later.

    Raises
    ------
    InputError : they did not come in time, or have another version of this package, which cannot prepare them.
    """
    from deeptracker.cluster.plugins import KeepFreed, Load

    unlike = f"they cannot load deeptracker {version('deeptracker')}: have they got another version?"
    try:
        for plugin in (KeepFreed(), Load()):
            client.register_plugin(plugin)
        client.wait_for_workers(number, timeout=seconds)
    except (ImportError, AttributeError) as error:  # what a worker says that is there already
        raise InputError(f"workers are of no use: {unlike} ({first_line(error)})") from None
    except TimeoutError:
        here = len(client.scheduler_info(n_workers=-1)["workers"])
        if here >= number:
            remedy = unlike
        raise InputError(f"{here} of {number} workers came within {seconds:g} s: {remedy}") from None


def missing(kind: str, package: str) -> MissingExtraError:
    """The error of a kind whose library is absent."""
    return MissingExtraError(f'clusters of kind {kind} need {package}: pip install "deeptracker[cluster]"')


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


__all__ = ["ENVIRONMENT", "PAGES", "SECONDS_UNHEARD", "first_line", "missing", "ready"]
