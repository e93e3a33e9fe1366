"""How many connections a server takes, and which go when there is no room for another: never a page's, once shown."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tornado.ioloop import PeriodicCallback
from tornado.iostream import IOStream

from deeptracker.app.names import network

CONNECTIONS = 20
"""For each session; a browser takes six and a socket."""
LOOK, STUCK = 5.0, 30.0
"""Seconds between two looks; for which somebody may not read what is sent to him."""


@dataclass
class _Guest:
    network: str
    read: int = 0
    moved: float = 0.0


class Lobby:
    """Takes every connection: idle ones would use up the files of the process, so others go where there are too many.

    The oldest go first, of the network that has most: whoever comes with one or two is let in at once, and keeps them
    while another holds hundreds. Whoever comes through the same proxy as a flood has some seconds. The websocket of a
    page that is shown never goes.

    Parameters
    ----------
    http, tornado : the server, and the application behind it. most : connections.
    """

    def __init__(self, http: Any, tornado: Any, most: int) -> None:
        self._tornado, self._most, self._take, http.handle_stream = tornado, most, http.handle_stream, self
        self._guests: dict[IOStream, _Guest] = {}  # the oldest first
        PeriodicCallback(self.look, LOOK * 1000).start()

    def __call__(self, stream: IOStream, address: Any) -> Any:
        if len(self._guests) >= self._most:
            self._make_room()
        if len(self._guests) >= self._most:
            stream.close()
            return None
        self._guests[stream] = _Guest(network(str(address[0])), 0, time.monotonic())
        return self._take(stream, address)

    def look(self) -> None:
        """Forget who has left, and close what nobody reads: it would be held for ever."""
        now, inside = time.monotonic(), self._inside()
        for stream, guest in list(self._guests.items()):
            read = stream._total_write_done_index
            if stream.closed():
                del self._guests[stream]
            elif not stream.writing() or read != guest.read:
                guest.read, guest.moved = read, now
            elif now - guest.moved > STUCK and stream not in inside:
                stream.close()

    def _make_room(self) -> None:
        self._guests = {stream: guest for stream, guest in self._guests.items() if not stream.closed()}
        if len(self._guests) < self._most:
            return
        inside, groups = self._inside(), defaultdict(list)
        for stream, guest in self._guests.items():
            if stream not in inside:
                groups[guest.network].append(stream)
        largest = max(groups.values(), key=len, default=[])
        for stream in largest[: 1 + len(largest) // 8]:  # several at once: a flood is not to look again each time
            stream.close()
            del self._guests[stream]

    def _inside(self) -> set[IOStream]:
        """The connections of pages that are shown."""
        sockets = [client._socket.ws_connection for client in self._tornado._clients]
        return {socket.stream for socket in sockets if socket is not None}


def connections(sessions: int) -> int:
    """Connections for so many sessions; the limit of open files is raised as far as that needs and as it may be."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS * sessions + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(16, min(CONNECTIONS * sessions, wanted if soft == resource.RLIM_INFINITY else soft // 2))


__all__ = ["Lobby", "connections"]
