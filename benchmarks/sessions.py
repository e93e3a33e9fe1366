"""Many people at one server process: how long a gesture waits beside others, and what closed sessions leave.

* twenty sessions at once: protocol clients open the explorer as a browser does, then each makes gestures with
  pauses of about a second: another layer, an event, a range of iterations, a pin. A gesture is a change of the page's
  address; it takes until the page says that it is selected. One session is a browser: zooms and drill-downs by mouse,
  until the new pixels;
* a hundred sessions opened and closed: the server's memory before and after, once all of them were given up.

    python benchmarks/sessions.py --small            # a small run
    python benchmarks/sessions.py --run RUN          # a run of yours, analysed
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import explorer
import numpy as np
import pairs
import psutil
import scales
from explorer import served_process
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from deeptracker import __version__, open_run
from deeptracker.view.event.events import anomalies
from deeptracker.view.places import layers_of

LIMIT = 500.0
SESSIONS, GESTURES, OPENED = 20, 12, 100
LEFT = 0.10
"""Share by which memory may have grown."""
READY = {
    "kind": "MessageSent",
    "msg_type": "bokeh_event",
    "msg_data": {"type": "event", "name": "document_ready", "values": {"type": "map"}},
}
"""What a browser says once the page is drawn."""
SIGHTS = (("event", "layers", "classes", "filters", "images"), ("filters", "images", "answers"), ("answers", "cube"))
"""Sections that a browser of 1600 × 1000 has in sight, or nearly: on top, halfway down, at the cube."""
ARRIVAL = 4.0
"""Seconds from one person's arrival to the next's."""
GIVEN_UP = 40
"""Seconds after which a server has given up sessions without a connection."""


class Person:
    """A session: a page that was asked for, its socket, and the models that hold its address and its selection."""

    def __init__(self, url: str) -> None:
        self.url, self.address, self.chips, self.sight, self.number = url, "", "", "", 0
        self.socket: WebSocketClientConnection | None = None
        self.reader: asyncio.Task[None] | None = None
        self.wanted: dict[str, asyncio.Future[str]] = {}
        """What is waited for: a message that answers the one of this number, or one that holds this text."""

    async def arrive(self) -> None:
        """Ask for the page, connect, pull the document and say that it is drawn, as a browser does."""
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(self.url).read().decode())
        found = re.search(r'"token":\s*"([^"]+)"', page)
        assert found, "the page has no session"
        request = HTTPRequest(self.url.replace("http", "ws", 1) + "ws", headers={"Origin": self.url.rstrip("/")})
        self.socket = await websocket_connect(
            request, subprotocols=["bokeh", found[1]], max_message_size=1 << 28, ping_interval=None
        )
        assert self.socket.protocol is not None
        self.socket.protocol.set_nodelay(True)  # as browsers do
        await self._receive()  # ACK
        self.reader = asyncio.create_task(self._read())
        models = _named(await self.ask("PULL-DOC-REQ", {}))
        self.address, self.chips = models["Address"], f'"{models["Chips"]}"'
        await self.ask("PATCH-DOC", {"events": [READY]})
        self.sight = models["Sight"]

    async def ask(self, kind: str, content: dict[str, Any]) -> str:
        """Send a message; the content of its answer."""
        assert self.socket is not None
        self.number += 1
        name = f"m{self.number}"
        answer = self._wait(name)
        for part in ({"msgid": name, "msgtype": kind}, {}, content):
            await self.socket.write_message(json.dumps(part))
        return await answer

    def _wait(self, name: str) -> asyncio.Future[str]:
        self.wanted[name] = asyncio.get_running_loop().create_future()
        return self.wanted[name]

    async def _read(self) -> None:
        """Take every message as it comes, as a browser does."""
        while True:
            header, content = await self._receive()
            assert header["msgtype"] != "ERROR", content[:500]
            answered = str(header.get("reqid", ""))
            for name in list(self.wanted):
                if name == answered or (not answered and name in content):
                    self.wanted.pop(name).set_result(content)

    async def _receive(self) -> tuple[dict[str, Any], str]:
        """(header, content) of the next message; its buffers are read and dropped."""
        assert self.socket is not None
        header = json.loads(await self._part())
        await self._part()
        content = await self._part()
        for _ in range(header.get("num_buffers", 0)):
            await self._part()
            await self._part()
        return header, content

    async def _part(self) -> Any:
        assert self.socket is not None
        part = await self.socket.read_message()
        if part is None:
            raise asyncio.CancelledError  # the page was left
        return part

    async def scroll(self, sections: Sequence[str]) -> None:
        """Have other sections in sight."""
        new = [f"section-{name}" for name in sections]
        event = {"kind": "ModelChanged", "model": {"id": self.sight}, "attr": "seen", "new": new}
        await self.ask("PATCH-DOC", {"events": [event]})

    async def go(self, query: str) -> float:
        """Change the address; milliseconds until the page shows what is selected now."""
        new = {"type": "map", "entries": [["query", query], ["replace", True]]}
        event = {"kind": "ModelChanged", "model": {"id": self.address}, "attr": "place", "new": new}
        shown = self._wait(self.chips)
        began = time.perf_counter()
        await self.ask("PATCH-DOC", {"events": [event]})
        await asyncio.wait_for(shown, 60)
        return 1000 * (time.perf_counter() - began)

    def leave(self) -> None:
        """Close the page."""
        if self.socket is not None:
            self.socket.close()


def _named(document: str) -> dict[str, str]:
    """Ids of a document's models by the first word of their names."""

    def models(node: Any) -> Any:
        if isinstance(node, dict):
            if "id" in node and "attributes" in node:
                name = str(node["attributes"].get("name") or node.get("name") or "")
                yield name.rstrip("0123456789"), node["id"]
            for value in node.values():
                yield from models(value)
        elif isinstance(node, list):
            for value in node:
                yield from models(value)

    return dict(models(json.loads(document)))


async def person(url: str, queries: list[str], seed: int, taken: list[float], gate: asyncio.Barrier) -> None:
    """Arrives, looks at a part of the page, and after all have done so makes gestures in turn."""
    rng = np.random.default_rng(seed)
    one = Person(url)
    await asyncio.sleep(seed * ARRIVAL)
    await one.arrive()
    await one.scroll(SIGHTS[seed % len(SIGHTS)])
    await asyncio.sleep(ARRIVAL)
    await gate.wait()
    last = ""
    for _ in range(GESTURES):
        await asyncio.sleep(float(rng.uniform(0.6, 1.4)))
        last = str(rng.choice([query for query in queries if query != last]))
        taken.append(await one.go(last))
    one.leave()


def looking(url: str, ready: threading.Event, go: threading.Event) -> list[float]:
    """Milliseconds of the gestures of a browser, which begin when all have arrived."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=explorer.FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(url)
        page.wait_for_function(explorer.IDLE, timeout=120_000)
        page.evaluate(explorer.WATCH)
        hand = explorer.Hand(page)
        hand.rest()
        ready.set()
        go.wait()
        rng = np.random.default_rng(7)
        for number in range(GESTURES // 3):
            explorer.zooms(hand, "zoom", explorer.STRIPS, rng)
            explorer.drill(hand, number)
        browser.close()
    return [one for times in hand.times.values() for one in times]


async def together(url: str, queries: list[str], sessions: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each gesture of the protocol clients, and of the browser."""
    taken: list[float] = []
    gate = asyncio.Barrier(sessions)
    ready, go = threading.Event(), threading.Event()
    browser = asyncio.create_task(asyncio.to_thread(looking, url, ready, go))

    async def start() -> None:
        while not ready.is_set() and not browser.done():
            await asyncio.sleep(0.1)
        await gate.wait()
        go.set()

    await asyncio.gather(start(), *(person(url, queries, seed, taken, gate) for seed in range(sessions - 1)))
    return taken, await browser


async def visits(url: str, count: int) -> None:
    """Sessions that come and go."""
    for _ in range(count):
        one = Person(url)
        await one.arrive()
        one.leave()


def queries_of(run: Any) -> list[str]:
    """Addresses that a hand would make."""
    layers = [place.name for place in layers_of(run)]
    out = [f"layers={name}" for name in layers[:: max(1, len(layers) // 12)]]
    out += [f"event={event['rank']}" for event in anomalies(run)[:3]]
    last = int(run.dataset("filters/dense")["iteration"].values[-1])
    out += [f"start={a * last:.0f}&stop={(a + 0.2) * last:.0f}" for a in (0.1, 0.3, 0.5, 0.7)]
    return [*out, "pins=10", ""]


def memory(process: psutil.Process) -> float:
    """MiB of a process."""
    return float(process.memory_info().rss) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="ResNet-20, 300 snapshots")
    parser.add_argument("--run", help="an analysed run to take instead")
    parser.add_argument("--keep", type=Path, help="folder in which the run is made once, and kept")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--opened", type=int, default=OPENED)
    asked = parser.parse_args()
    print(f"deeptracker {__version__}, Python {platform.python_version()}; {pairs.processor()}; {pairs.load()}")
    with tempfile.TemporaryDirectory() as temporary:
        path = asked.run
        if path is None:
            scale = scales.SMALL if asked.small else scales.PAPER
            path = str(scales.made(scale, asked.keep or Path(temporary)).path)
        with served_process(path) as (url, server):
            process = psutil.Process(server.pid)
            taken, seen = asyncio.run(together(url, queries_of(open_run(path)), asked.sessions))
            print(f"{asked.sessions} sessions at once, one of them a browser")
            for who, times in (("protocol clients", taken), ("browser, to new pixels", seen)):
                p50, p95 = np.quantile(times, [0.5, 0.95])
                print(
                    f"{who}: {len(times)} gestures: median {p50:.0f} ms, p95 {p95:.0f} ms (limit {LIMIT:.0f}: "
                    f"{pairs.verdict(bool(p95 <= LIMIT))}), largest {max(times):.0f} ms",
                    flush=True,
                )
            time.sleep(GIVEN_UP)
            before = memory(process)
            asyncio.run(visits(url, asked.opened))
            time.sleep(GIVEN_UP)
            after = memory(process)
            grown = after / before - 1
            print(
                f"{asked.opened} sessions opened and closed: {before:.0f} MiB before, {after:.0f} MiB after "
                f"({grown:+.1%}; limit {LEFT:.0%}: {pairs.verdict(grown <= LEFT)})"
            )
    print(f"At the end: {pairs.load()}.")


if __name__ == "__main__":
    main()
