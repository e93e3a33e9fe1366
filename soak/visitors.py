"""Attacks on the server: more visitors than it has places, and requests that only somebody hostile would send."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from deeptracker.analysis import analyze
from deeptracker.testing import simulate
from soak.figures import Figure

SERVE = "import sys; from deeptracker.app import serve; serve(sys.argv[1], port=0, max_sessions=int(sys.argv[2]))"
A_PLACE = 50
"""Hostile requests for each place of the server."""
MOST = 100
"""Places of the long form."""
PAUSE = 25.0
"""Seconds after which places are free again, and the server has looked for what nobody refers to."""
MORE = 0.05
"""Share by which memory may be larger after a second crowd."""
AT_ONCE = 32
"""Hostile requests under way together."""


@contextmanager
def _served(path: Path, places: int) -> Iterator[tuple[str, int]]:
    """Address and process of a server."""
    command = [sys.executable, "-u", "-c", SERVE, str(path), str(places)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if " at http" in line)
        yield line.split(" at ")[1].split()[0], process.pid
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _resident(pid: int) -> float:
    """MB that a process holds."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def _page(address: str) -> tuple[int, str]:
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(address, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


async def _enter(address: str, text: str) -> WebSocketClientConnection:
    """Connect as the page does, and take its document."""
    found = re.search(r'"token":\s*"([^"]+)"', text)
    assert found
    origin = f"http://{urlsplit(address).netloc}"
    request = HTTPRequest(address.replace("http", "ws", 1) + "ws", headers={"Origin": origin})
    socket = await websocket_connect(request, subprotocols=["bokeh", found[1]], max_message_size=1 << 28)
    await _until(socket, "ACK")
    await _ask(socket, "PULL-DOC-REQ")
    return socket


async def _ask(socket: WebSocketClientConnection, kind: str) -> None:
    for part in ({"msgid": kind, "msgtype": kind}, {}, {}):
        await socket.write_message(json.dumps(part))
    await _until(socket, kind)


async def _until(socket: WebSocketClientConnection, wanted: str) -> None:
    """Read until a message of this kind, or the answer to one."""
    while True:
        part = await asyncio.wait_for(socket.read_message(), 120)
        if part is None:
            raise ConnectionError("the server hung up")
        if isinstance(part, str) and part.startswith("{") and f'"{wanted}"' in part[:200]:
            return


async def _fill(address: str, places: int) -> list[WebSocketClientConnection]:
    """Visitors who enter one after the other; one in ten compares."""
    sockets = []
    for number in range(places):
        place = "compare" if number % 10 == 9 else ""
        status, text = await asyncio.to_thread(_page, address + place)
        if status == 200:
            sockets.append(await _enter(address + (place and f"{place}/"), text))
    return sockets


async def _crowd(address: str, pid: int, places: int) -> Figure:
    """Fill all places, ask for as many again, see whether whoever is inside is answered; leave, and come back."""
    inside = await _fill(address, places)
    wrong = places - len(inside)
    most = _resident(pid)
    for number in range(places):
        status, text = await asyncio.to_thread(_page, address + ("", "live", "compare")[number % 3])
        wrong += status != 503 or "places" not in text
    for socket in inside:
        try:
            await _ask(socket, "SERVER-INFO-REQ")
        except (ConnectionError, TimeoutError):
            wrong += 1
    most = max(most, _resident(pid))
    for socket in inside:
        socket.close()
    await asyncio.sleep(PAUSE)
    again = await _fill(address, places // 2)
    wrong += places // 2 - len(again)
    after = _resident(pid)
    wrong += after > most * (1 + MORE)
    for socket in again:
        socket.close()
    seen = f"{len(inside)} held at once and answered, in {most:,.0f} MB; {after:,.0f} MB with half as many later"
    return Figure(
        "more visitors than places, one server process", f"{places} visitors and {places} more", seen, wrong,
        "let in beyond the limit, turned away or forgotten within it",
    )  # fmt: skip


def _hostile(draw: random.Random, host: str, token: str) -> str:
    """A request that nobody but an attacker sends; whole, as it goes over the line."""
    port = host.rpartition(":")[2]
    other = draw.choice(["evil.example", f"evil.example:{port}", f"{host}.evil.example", "10.0.0.7", "", "*"])
    page = draw.choice(["/", "/live", "/compare", "/static/js/bokeh.min.js", "/favicon.ico", "/?run=..%2F.."])
    out = "/".join(draw.choices(["..", "%2e%2e", "..%2f", ".%2e", "..%5c", "%00"], k=draw.randint(1, 8)))
    root = draw.choice(["/static/", "/static/extensions/panel/", "/static/js/", "/", "/live/static/", "//"])
    forged = token[: draw.randint(0, len(token) - 8)] + draw.choice(["", "A", ".", "AAAA"])
    handshake = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: bokeh, "
    )
    socket = draw.choice(["/ws", "/live/ws", "/compare/ws"])
    wild = "".join(draw.choices("GET /\r\n :%\0ÿ", k=draw.randint(1, 200)))
    kinds = [
        f"GET {page} HTTP/1.1\r\nHost: {other}\r\n\r\n",
        f"GET {page} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{other}\r\n\r\n",
        f"GET {page} HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n\r\n",
        f"GET {root}{out}/etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET {socket} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{other}\r\n{handshake}{token}\r\n\r\n",
        f"GET {socket} HTTP/1.1\r\nHost: {other}\r\nOrigin: http://{other}\r\n{handshake}{token}\r\n\r\n",
        f"GET {socket} HTTP/1.1\r\nHost: {host}\r\n{handshake}{token}\r\n\r\n",
        f"GET {socket} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n{handshake}{forged}\r\n\r\n",
        f"GET /autoload.js?bokeh-autoload-element=x HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET /components/os/path/_css/{out} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"POST {page} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999\r\n\r\n",
        f"{draw.choice(['PUT', 'DELETE', 'OPTIONS', 'TRACE'])} {page} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        wild + "\r\n\r\n",
    ]  # fmt: skip
    return draw.choice(kinds)


async def _answer(address: str, request: str) -> bytes:
    """What comes back until the server closes, or is silent."""
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    got = b""
    try:
        writer.write(request.encode("latin-1", "replace"))
        while piece := await asyncio.wait_for(reader.read(65536), 0.5 if b"\r\n\r\n" in got else 5):
            got += piece
            if got.startswith(b"HTTP/1.1 4"):
                break
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return got


async def _assault(address: str, pid: int, times: int, seed: int) -> Figure:
    """Send hostile requests; answered is one that brought a page, a file or a session."""
    draw, answered, before = random.Random(seed), 0, _resident(pid)
    token = re.search(r'"token":\s*"([^"]+)"', (await asyncio.to_thread(_page, address))[1])
    assert token
    host = urlsplit(address).netloc
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(request: str) -> bool:
        async with at_once:
            got = await _answer(address, request)
        return got.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3")) or b'"ACK"' in got or b"Traceback" in got

    answered += sum(await asyncio.gather(*(one(_hostile(draw, host, token[1])) for _ in range(times))))
    status, _ = await asyncio.to_thread(_page, address)
    answered += status != 200
    grown = _resident(pid) - before
    return Figure(
        "hostile requests (foreign names and origins, paths out of the folder, forged tokens, nonsense)",
        f"{times:,} requests", f"the next visitor served, {grown:+,.0f} MB", answered, "answered",
    )  # fmt: skip


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """Fill a server and send it ``times`` hostile requests."""
    places = max(4, min(MOST, times // A_PLACE))
    path = folder / "run"
    simulate(path, model="tiny", iterations=200, images=40, passes=20, classes=4, seed=seed, thumbnails=True)
    analyze(path)
    # In a thread: whoever calls may have a loop of events running.
    with _served(path, places) as (address, pid), ThreadPoolExecutor(1) as thread:
        work = _crowd(address, pid, places), _assault(address, pid, times, seed)
        return [thread.submit(asyncio.run, one).result() for one in work]


__all__ = ["attack"]
