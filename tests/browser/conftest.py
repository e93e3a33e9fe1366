"""A headless Chromium: $CHROMIUM, or one on the PATH. Without one these tests fail, unless BROWSER=optional."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

IDLE = "window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents.every(d => d.is_idle)"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """Path of a Chromium, as ``find_chromium.sh`` looks for it."""
    found = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        script = Path(__file__).with_name("find_chromium.sh")
        found = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False).stdout.strip()
    return found or None


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = chromium()
    if path is None:
        if os.environ.get("BROWSER") == "optional":
            pytest.skip("no Chromium, and BROWSER=optional")
        pytest.fail("no Chromium: set $CHROMIUM, install one, or set BROWSER=optional")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield started
        started.close()


class Visit:
    """A page with what went wrong on it and what it asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.address = ""
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address: str) -> None:
        self.address = address
        self.page.goto(address)
        self.settle()

    def settle(self) -> None:
        """Until all figures are drawn and nothing is under way."""
        self.page.wait_for_function(IDLE, timeout=60_000)
        self.page.wait_for_timeout(300)

    def model(self, name: str, field: str) -> Any:
        """A property of a Bokeh model found by name."""
        find = "Bokeh.documents.map(d => d.get_model_by_name(name)).find(m => m)"
        return self.page.evaluate(f"([name, field]) => {find}[field]", [name, field])

    def until(self, script: str, argument: Any = None) -> None:
        """Wait for a JavaScript condition."""
        self.page.wait_for_function(script, arg=argument, timeout=30_000)

    def external(self, host: str = "") -> list[str]:
        """Requests that left the file (or, with ``host``, the server)."""
        inside = ("data:", "blob:", *([f"http://{host}", f"ws://{host}"] if host else []))
        return [url for url in self.requests if not url.startswith(inside) and url != self.address]


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    yield Visit(page)
    page.close()


SERVE = "import sys; from deeptracker.app import serve; serve(sys.argv[1], port=0)"


class Served:
    """The pages of a run in a process of their own."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", SERVE, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.log: list[str] = []
        self.address = ""
        for line in self.process.stdout:
            self.log.append(line)
            if " at http" in line:
                self.address = line.split(" at ")[1].split()[0]
                break
        assert self.address, "".join(self.log)
        self.host = self.address.removeprefix("http://").rstrip("/")

    def stop(self) -> str:
        """End the server; what it wrote."""
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=20)
        return "".join(self.log) + rest


@pytest.fixture
def served() -> Iterator[Any]:
    running: list[Served] = []

    def start(path: Path) -> Served:
        running.append(Served(path))
        return running[-1]

    yield start
    for server in running:
        if server.process.poll() is None:
            server.stop()
