"""Under which names browsers may reach a server: a page that somebody else's name leads to could read everything."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from deeptracker.errors import InputError

_PLACE = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Names:
    """The names of a server.

    A page of a foreign name whose address changes to ours (DNS rebinding) brings its own name along as ``Host``. It
    can be neither ``localhost`` nor an address in digits, to which nobody but the machine itself answers: these may
    come with any port, so that a tunnel or a container may have another one than the server.

    Parameters
    ----------
    local : whether the server listens on this machine only: then addresses in digits must be loopback, too.
    own : names of this machine.
    given : ``host`` or ``host:port`` that a person allowed; without a port, any.
    """

    local: bool
    own: frozenset[str]
    given: frozenset[str]

    def know(self, host: str) -> bool:
        """Whether a ``Host`` header names this server."""
        found = _PLACE.fullmatch(host.lower())
        if found is None:
            return False
        name = found["name"].strip("[]")
        if name in self.own or is_loopback(name) or not self.given.isdisjoint((found["name"], found[0])):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return not self.local

    def trust(self, origin: str, host: str) -> bool:
        """Whether an ``Origin`` header is that of our own pages, which ``host`` served; or one that was given."""
        try:
            parts = urlsplit(origin.lower())
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or parts.path or parts.query:
            return False
        found = _PLACE.fullmatch(parts.netloc)
        if found is None:
            return False
        return not self.given.isdisjoint((found["name"], found[0])) or (
            parts.netloc == host.lower() and self.know(host)
        )


def names_of(host: str, given: Iterable[str] = ()) -> Names:
    """The names of a server that listens on ``host``.

    Raises
    ------
    InputError : a given name is no ``host`` or ``host:port``.
    """
    places = []
    for origin in given:
        place = origin.lower().removeprefix("http://").removeprefix("https://").rstrip("/")
        if _PLACE.fullmatch(place) is None:
            raise InputError(f"origin {origin!r}: give HOST or HOST:PORT as browsers show it, without wildcards")
        places.append(place)
    own = {"localhost", host.lower()}
    if not is_loopback(host):
        own |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return Names(is_loopback(host), frozenset(own), frozenset(places))


def network(address: str) -> str:
    """Whom an address belongs to: who has one of IPv6 has all that begin as it does."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, ipaddress.IPv6Address) or found.ipv4_mapped:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return f"{int(found) >> 64:x}::/64"


__all__ = ["Names", "is_loopback", "names_of", "network"]
