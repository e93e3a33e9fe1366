"""The server: this machine only unless told otherwise, a free port, the origin of connections checked."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deeptracker.app.server import free_port, is_loopback, server
from deeptracker.errors import InputError, NotARunError
from deeptracker.store import Run


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("192.168.0.3", False)],
)
def test_is_loopback__only_what_this_machine_alone_reaches(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_server__refuses_other_machines_without_a_password(analysed: Run) -> None:
    with pytest.raises(InputError, match="password"):
        server(analysed.path, host="0.0.0.0", port=0)


def test_server__a_path_that_is_no_run_is_refused_before_listening(tmp_path: Path) -> None:
    with pytest.raises(NotARunError):
        server(tmp_path, port=0)


def test_free_port__a_taken_port_leads_to_the_next() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < free_port("127.0.0.1", port) <= port + 50
    assert free_port("127.0.0.1", 0) > 0


def test_free_port__a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(InputError):
        free_port("203.0.113.7", 5006)


@contextmanager
def running(path: Path, **options: Any) -> Iterator[int]:
    """A server in a thread with a loop of its own."""
    import asyncio

    ready, started = threading.Event(), {}

    def work() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        started["server"] = it = server(path, port=0, **options)
        it.start()
        it.io_loop.add_callback(ready.set)
        it.io_loop.start()
        it.stop()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield started["server"].port
    finally:
        loop = started["server"].io_loop
        loop.add_callback(loop.stop)
        thread.join(20)


def socket_status(port: int, origin: str, host: str) -> int:
    """Status of a WebSocket handshake that claims an origin and a host."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("GET", "/ws", skip_host=True)
    for name, value in {
        "Host": host,
        "Origin": f"http://{origin}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def test_server__a_foreign_origin_is_turned_away_even_where_the_host_agrees(analysed: Run) -> None:
    with running(analysed.path) as port:
        assert socket_status(port, "evil.example", f"127.0.0.1:{port}") == 403
        assert socket_status(port, f"evil.example:{port}", f"evil.example:{port}") == 421  # DNS rebinding
        assert socket_status(port, f"127.0.0.1:{port}", f"127.0.0.1:{port}") != 403


def test_server__with_a_password_asks_for_it(analysed: Run) -> None:
    with running(analysed.path, password="secret") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 302
        assert "/login" in str(answer.getheader("Location"))
        connection.close()
