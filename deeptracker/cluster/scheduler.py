"""Workers of a scheduler that somebody else runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deeptracker.cluster.profile import Profile
from deeptracker.cluster.security import secured
from deeptracker.cluster.workers import first_line
from deeptracker.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_SCHEMES = ("tcp", "tls", "ws", "wss", "ucx")
_SECONDS_TO_CONNECT = 15.0


@contextmanager
def attached(profile: Profile) -> Iterator[Client]:
    """A client of a running scheduler; scheduler and workers are left as they are.

    Raises
    ------
    InputError : no such kind of address, nothing answers, or it asks for another certificate.
    """
    from distributed import Client

    address = str(profile.settings["address"])
    scheme = address.split("://")[0] if "://" in address else ""
    if scheme not in _SCHEMES:
        raise InputError(f"{address} is no address of a Dask scheduler: give tcp://host:port or tls://host:port")
    with secured(profile.tls) as security:
        encrypted = scheme in ("tls", "wss")
        if security is not None and not encrypted:
            raise InputError(f"tls: {address} is not encrypted: give tls://{address.split('://')[1]}")
        try:
            client = Client(address, security=security, timeout=profile.wait or _SECONDS_TO_CONNECT)
        except (
            TypeError
        ):  # Dask's way to say that there is no certificate, or for a tcp:// address that one is asked for
            raise InputError(f"{address} needs certificates: {_CERTIFICATES}") from None
        except RuntimeError as error:
            raise InputError(f"the Dask scheduler at {address} was not asked: {first_line(error)}") from None
        except (OSError, TimeoutError, ValueError) as error:
            hint = "does its certificate belong to yours?" if encrypted else "if it uses TLS, the address is tls://…"
            raise InputError(f"no Dask scheduler answers at {address}: {first_line(error)} ({hint})") from None
        with client:
            yield client


_CERTIFICATES = "give --cluster a profile with kind: scheduler, address and tls: {ca, cert, key} (docs/clusters.md)"

__all__ = ["attached"]
