"""Connections: whoever holds many keeps nobody out, and a page that is shown stays."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from serving import ask, awaited, connected, running, token

from deeptracker.app import lobby, routes
from deeptracker.store import Run

MOST = lobby.CONNECTIONS
"""Of a server with one place."""


@contextmanager
def strangers(port: int, count: int, said: bytes = b"", own: str = "127.0.0.2") -> Iterator[list[socket.socket]]:
    """So many connections of another address, in the order of their arrival."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.bind((own, 0))
            one.connect(("127.0.0.1", port))
            one.sendall(said)
            one.settimeout(0.01)
            found.append(one)
        yield found


def ended(one: socket.socket) -> bool:
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def rest(one: socket.socket) -> int:
    """Bytes that come until a connection ends: those that the system had kept."""
    one.settimeout(3)
    count = 0
    try:
        while some := len(one.recv(1 << 20)):
            count += some
    except ConnectionError:
        pass
    return count


def answers(one: socket.socket, port: int) -> bool:
    one.settimeout(10)
    one.sendall(f"GET /favicon.ico HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return one.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHo"])
def test_lobby__is_never_full_of_strangers(analysed: Run, said: bytes) -> None:
    with running(analysed.path, max_sessions=1) as port:

        async def visit() -> None:
            async with connected(port, token(ask(port)[2])) as page:
                for _ in range(3):
                    await page.read_message()
                with strangers(port, 2, own="127.0.0.1") as early, strangers(port, 5 * MOST, said) as many:
                    for _ in range(10):
                        assert (await asyncio.to_thread(ask, port, "/favicon.ico"))[0] == 200
                    assert ended(many[0])
                    assert not ended(many[-1])
                    for one in early:  # older than all of them, but of somebody who holds few
                        assert await asyncio.to_thread(answers, one, port)
                    for part in ({"msgid": "1", "msgtype": "PULL-DOC-REQ"}, {}, {}):
                        await page.write_message(json.dumps(part))
                    assert json.loads(await page.read_message())["msgtype"] == "PULL-DOC-REPLY"

        awaited(visit())


def test_lobby__strangers_of_ones_own_address_keep_nobody_out(analysed: Run) -> None:
    with running(analysed.path, max_sessions=1) as port, strangers(port, 3 * MOST, own="127.0.0.1"):
        for _ in range(10):
            assert ask(port, "/favicon.ico")[0] == 200


def test_lobby__what_nobody_reads_is_closed_and_what_is_read_slowly_is_not(
    analysed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lobby, "LOOK", 0.1)
    monkeypatch.setattr(lobby, "STUCK", 1.5)
    with running(analysed.path) as port:
        wanted = f"GET /static/js/bokeh.min.js HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() * 20
        with strangers(port, 2, wanted) as (never, slowly), strangers(port, 1) as (idle,):
            until, read = time.monotonic() + 5, 0
            slowly.settimeout(5)
            while time.monotonic() < until:
                read += len(slowly.recv(1 << 17))
                time.sleep(0.02)
            assert read > 100_000
            assert not ended(idle)
            assert slowly.recv(1) != b""
            assert rest(never) < 10 << 20  # of some twenty


def test_lobby__a_page_has_few_sockets(analysed: Run) -> None:
    with running(analysed.path) as port:

        async def visit() -> None:
            name = token(ask(port)[2])
            async with connected(port, name) as first:
                assert json.loads(await first.read_message())["msgtype"] == "ACK"
                more = [connected(port, name) for _ in range(routes.SOCKETS)]
                sockets = [await one.__aenter__() for one in more]
                last = sockets[-1]
                for _ in range(4):
                    said = await asyncio.wait_for(last.read_message(), 10)
                assert said is None
                for part in ({"msgid": "1", "msgtype": "SERVER-INFO-REQ"}, {}, {}):
                    await first.write_message(json.dumps(part))
                for _ in range(2):
                    await first.read_message()
                assert json.loads(await first.read_message())["msgtype"] == "SERVER-INFO-REPLY"
                for one in more:
                    await one.__aexit__(None, None, None)

        awaited(visit())
