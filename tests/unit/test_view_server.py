"""The server: this machine only unless told otherwise, a free port, the origin of connections checked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from serving import ask, running, socket_status

from deeptracker.app.names import is_loopback
from deeptracker.app.server import free_port, server
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


def test_server__a_foreign_origin_is_turned_away_even_where_the_host_agrees(analysed: Run) -> None:
    with running(analysed.path) as port:
        assert socket_status(port, "evil.example", f"127.0.0.1:{port}") == 403
        assert socket_status(port, f"evil.example:{port}", f"evil.example:{port}") == 421  # DNS rebinding
        assert socket_status(port, f"127.0.0.1:{port}", f"127.0.0.1:{port}") != 403


def test_server__with_a_password_asks_for_it(analysed: Run) -> None:
    with running(analysed.path, password="secret") as port:
        status, headers, _ = ask(port)
        assert status == 302
        assert "/login" in headers["location"]


def test_server__an_empty_password_is_none(analysed: Run) -> None:
    with pytest.raises(InputError, match="empty"):
        server(analysed.path, host="0.0.0.0", port=0, password=" ")
