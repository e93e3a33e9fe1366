"""What stands before every page: who is refused, and the headers that every answer bears."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Any
from urllib.parse import unquote

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from deeptracker.app.names import Names

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of whatever is no page."""
HEADERS = {
    "Content-Security-Policy": NOTHING,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Of every answer whose handler says nothing else."""
UNSAID = ("Server", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials")

_CLIMBS = re.compile(r"(^|[/\\])\.\.([/\\]|$)|//|[\\\0]")
_REASONS = {403: "Forbidden", 404: "Not Found", 421: "Misdirected Request"}

Refusal = tuple[int, str]


class Guard(HTTPServerConnectionDelegate):
    """Asks for each request whether a page of ours, or a person, may have sent it; before any handler sees it.

    Parameters
    ----------
    inside : the application behind it.
    names : under which browsers may reach it.
    """

    def __init__(self, inside: HTTPServerConnectionDelegate, names: Names) -> None:
        self.inside, self.names = inside, names

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """A request begins."""
        answer: Any = _Answer(request_conn)
        return _Request(self, answer, self.inside.start_request(server_conn, answer))

    def on_close(self, server_conn: object) -> None:
        """A connection has ended."""
        self.inside.on_close(server_conn)

    def refusal(self, line: RequestStartLine, headers: HTTPHeaders) -> Refusal | None:
        """Status and reason, where a request is refused."""
        if _CLIMBS.search(unquote(line.path.partition("?")[0])):
            return 404, "There is no such page."
        host, origin = headers.get("Host", ""), headers.get("Origin")
        if not self.names.know(host):
            return 421, (
                f"DeepTracker does not know itself by the name {_plain(host)}. Whoever started it can allow that: "
                f"deeptracker serve --origin {_plain(host)}, or serve(origins=({_plain(host)!r},))."
            )
        socket = headers.get("Upgrade", "").lower() == "websocket"
        if socket and origin is None:
            return 403, "A websocket without Origin comes from no browser."
        if origin is not None and not self.names.trust(origin, host):
            return 403, (
                f"Pages of {_plain(origin)} may not ask this server. Whoever started it can allow them: "
                "deeptracker serve --origin HOST:PORT."
            )
        visit = line.method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate"
        visit = visit and headers.get("Sec-Fetch-Dest") == "document"
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not visit and origin is None:
            return 403, "Pages of another site may link to this server, and nothing else."
        return None


class _Request(HTTPMessageDelegate):
    """Passes a request on, or answers it once it has been read."""

    def __init__(self, guard: Guard, answer: Any, inside: HTTPMessageDelegate) -> None:
        self.guard, self.answer, self.inside = guard, answer, inside
        self.refused: Refusal | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, RequestStartLine)
        self.refused = self.guard.refusal(start_line, headers)
        return None if self.refused else self.inside.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return None if self.refused else self.inside.data_received(chunk)

    def finish(self) -> None:
        if self.refused is None:
            self.inside.finish()
            return
        status, reason = self.refused
        body = f"{reason}\n".encode()
        plain = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body)), "Connection": "close"}
        self.answer.write_headers(ResponseStartLine("", status, _REASONS[status]), HTTPHeaders(plain), body)
        self.answer.finish()

    def on_connection_close(self) -> None:
        if self.refused is None:
            self.inside.on_connection_close()


class _Answer:
    """A connection whose answers bear ``HEADERS``; everything else is the connection's."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write_headers(self, start_line: ResponseStartLine, headers: HTTPHeaders, chunk: bytes | None = None) -> Any:
        """Send the head of an answer."""
        for name in UNSAID:
            headers.pop(name, None)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        return self._connection.write_headers(start_line, headers, chunk)


def _plain(text: str) -> str:
    """What a stranger sent, fit for a line."""
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text[:100]) or "(none)"


__all__ = ["HEADERS", "NOTHING", "Guard"]
