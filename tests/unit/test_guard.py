"""Who is refused, and what every answer bears."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator

import pytest
from serving import HANDSHAKE, ask, running, socket_status

from deeptracker.app.guard import HEADERS
from deeptracker.app.names import names_of
from deeptracker.errors import InputError
from deeptracker.store import Run


@pytest.fixture(scope="module")
def port(analysed: Run) -> Iterator[int]:
    with running(analysed.path, origins=("track.example.org", "https://other.example:8443/")) as port:
        yield port


@pytest.mark.parametrize("place", ["/", "/live", "/compare", "/static/js/bokeh.min.js", "/favicon.ico", "/nothing"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "10.0.0.7:PORT", "localhost.evil.example", "", "a,b"]
)
def test_host__that_is_unknown_is_refused_wherever_it_asks(port: int, place: str, host: str) -> None:
    status, _, text = ask(port, place, {"Host": host.replace("PORT", str(port))})
    assert status == 421
    assert "--origin" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    "host", ["localhost:PORT", "127.0.0.1:8000", "[::1]:PORT", "track.example.org", "other.example:8443"]
)
def test_host__of_this_machine_or_a_given_one_is_answered(port: int, host: str) -> None:
    assert ask(port, "/favicon.ico", {"Host": host.replace("PORT", str(port))})[0] == 200


def test_host__a_name_that_was_given_with_a_port_needs_it(port: int) -> None:
    assert ask(port, "/favicon.ico", {"Host": "other.example:1"})[0] == 421


@pytest.mark.parametrize("environment", [None, "*"])
def test_socket__only_of_a_page_that_this_server_gave(
    port: int, environment: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment is not None:
        monkeypatch.setenv("BOKEH_ALLOW_WS_ORIGIN", environment)
    own = f"127.0.0.1:{port}"
    assert socket_status(port, own, own) == 101
    assert socket_status(port, "localhost:8000", "localhost:8000") == 101  # through a tunnel
    assert socket_status(port, "track.example.org", own) == 101  # a proxy that says its own name to the server
    for origin, host in [
        ("evil.example", own),
        ("evil.example", "evil.example"),
        (f"evil.example:{port}", f"evil.example:{port}"),
        ("127.0.0.1:3000", own),  # another server of this machine
        (f"localhost:{port}", own),
        (None, own),
    ]:
        for place in ("/ws", "/live/ws", "/compare/ws"):
            assert socket_status(port, origin, host, place) in (403, 421), (origin, host)


def test_socket__the_origin_null_is_nobodys(port: int) -> None:
    assert ask(port, "/ws", {**HANDSHAKE, "Origin": "null"})[0] == 403


def test_page__of_another_site_may_link_here_and_nothing_else(port: int) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ask(port, "/", link)[0] == 200
    for change in (
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ):
        assert ask(port, "/", {**link, **change})[0] == 403
    assert ask(port, "/", {"Origin": "http://evil.example"})[0] == 403


@pytest.mark.parametrize(
    "place",
    [
        "/autoload.js?bokeh-autoload-element=x", "/metadata", "/components/antigravity/a/b/c", "/liveness", "/rest",
        "/rest/session_info", "/admin", "/static/", "/static/js", "/static/../server.py", "/static/%2e%2e/server.py",
        "/static/extensions/panel/../__init__.py", "/static/extensions/panel/..%2f..%2f__init__.py",
        "/static//etc/passwd", "/static/..%5c..%5cserver.py", "/..%00/", "/live/..", "http://evil.example/",
    ],
)  # fmt: skip
def test_place__that_is_no_page_has_nothing_to_say(port: int, place: str) -> None:
    status, _, text = ask(port, place)
    assert status in (400, 403, 404)
    assert len(text) < 200
    assert "Traceback" not in text


@pytest.mark.parametrize("place", ["/", "/live", "/compare", "/static/js/bokeh.min.js", "/nothing", "/static/../x"])
def test_answer__bears_the_headers_and_no_banner(port: int, place: str) -> None:
    _, headers, _ = ask(port, place)
    for name, value in HEADERS.items():
        if name not in ("Cache-Control", "Content-Security-Policy"):
            assert headers[name.lower()] == value
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store" or place.startswith("/static/js")
    assert not {"server", "access-control-allow-origin", "x-powered-by"} & set(headers)


def test_page__scripts_run_by_the_nonce_of_this_answer_only(port: int) -> None:
    policies = []
    for _ in range(2):
        _, headers, text = ask(port)
        policies.append(headers["content-security-policy"])
        scripts = re.search("script-src ([^;]*);", policies[-1])
        assert scripts
        assert "unsafe-inline" not in scripts[1]
        assert "'self'" not in scripts[1]
        nonce = re.search("'nonce-([^']+)'", scripts[1])
        assert nonce
        assert text.count("<script") == text.count(f'<script nonce="{nonce[1]}"') > 5
    assert policies[0] != policies[1]


def test_page__joins_no_session_that_an_address_names(port: int) -> None:
    found = re.search(r'"token":\s*"([^"]+)"', ask(port)[2])
    assert found
    status, _, text = ask(port, f"/?bokeh-token={found[1]}")
    assert status == 200
    assert found[1] not in text
    assert ask(port, "/?bokeh-session-id=mine", {"Bokeh-Session-Id": "mine"})[0] == 200


def test_request__without_end_is_dropped(port: int) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        ask(port, "/", {"Cookie": "x" * 100_000})
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 99999999999\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 400")


def test_names__beyond_this_machine_are_its_own_and_addresses_in_digits() -> None:
    names = names_of("0.0.0.0", ("Track.Example.org",))
    for host in (socket.gethostname(), f"{socket.gethostname().upper()}:5006", "192.0.2.7:5006", "[2001:db8::7]:80"):
        assert names.know(host), host
    assert names.know("track.example.org:99")
    for host in (
        "evil.example",
        "192.0.2.7.evil.example",
        "[::1",
        "a@127.0.0.1",
        "127.0.0.1/..",
        "track.example.org.",
    ):
        assert not names.know(host), host
    assert not names.trust("http://evil.example", "192.0.2.7:5006")
    assert not names.trust("http://192.0.2.8:5006", "192.0.2.7:5006")
    assert names.trust("http://192.0.2.7:5006", "192.0.2.7:5006")


@pytest.mark.parametrize("origin", ["*", "*.example.org", "a b", "http://a/b", ""])
def test_names__wildcards_and_nonsense_are_refused(origin: str) -> None:
    with pytest.raises(InputError, match="HOST"):
        names_of("127.0.0.1", (origin,))
