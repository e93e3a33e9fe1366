"""A server in a thread of the tests, and requests that no browser would send."""

from __future__ import annotations

import asyncio
import http.client
import re
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from deeptracker.app.server import server
from deeptracker.app.watching import stop_all

T = TypeVar("T")
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@contextmanager
def running(path: Path, *, itself: bool = False, **options: Any) -> Iterator[int]:
    """A server of a copy of ``path``, or of ``path`` itself, in a thread with a loop of its own; its port."""
    ready, started = threading.Event(), {}
    folder = tempfile.TemporaryDirectory()  # a live page analyses the run anew
    served = path if itself else Path(shutil.copytree(str(path), Path(folder.name) / path.name))

    def work() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        started["server"] = it = server(served, port=0, **options)
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
        stop_all()
        folder.cleanup()


def ask(
    port: int, place: str = "/", headers: dict[str, str] | None = None, method: str = "GET", body: str = ""
) -> tuple[int, dict[str, str], str]:
    """Status, headers in lower case and body; ``Host`` is the server's own if none is given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, place, skip_host=True)
    given = {"Host": f"127.0.0.1:{port}", **(headers or {})}
    if method == "POST":
        given |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders(body.encode() or None)
    answer = connection.getresponse()
    text = "" if answer.status == 101 else answer.read().decode("utf-8", "replace")
    found = {name.lower(): value for name, value in answer.getheaders()}
    answer.close()
    connection.close()
    return answer.status, found, text


def socket_status(port: int, origin: str | None, host: str, place: str = "/ws") -> int:
    """Status of a WebSocket handshake that claims an origin and a host."""
    claims = {"Host": host, **({} if origin is None else {"Origin": f"http://{origin}"})}
    return ask(port, place, {**HANDSHAKE, **claims})[0]


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives, in a loop of its own: that of this thread runs where browser tests came before."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def token(text: str) -> str:
    """What the socket of a page shows."""
    found = re.search(r'"token":\s*"([^"]+)"', text)
    assert found
    return found[1]


@asynccontextmanager
async def connected(port: int, name: str, page: str = "") -> AsyncIterator[Any]:
    """The socket of a page that got this token."""
    address = f"127.0.0.1:{port}"
    request = HTTPRequest(f"ws://{address}{page}/ws", headers={"Origin": f"http://{address}"})
    socket = await websocket_connect(request, subprotocols=["bokeh", name])
    stream = socket.protocol and socket.protocol.stream
    try:
        yield socket
    finally:
        socket.close()
        await asyncio.sleep(0.05)
        if stream is not None:
            stream.close()
