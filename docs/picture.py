"""Takes the README's picture of the explorer: ``python docs/picture.py RUN docs/explorer.png`` (needs Chromium)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IDLE = "window.Bokeh && Bokeh.documents.length && Bokeh.documents.every(d => d.is_idle)"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def main(run: str, out: str) -> None:
    """Serve the run on a free port of this machine, wait until everything is drawn, and photograph it."""
    command = [str(Path(sys.executable).with_name("deeptracker")), "serve", run, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = next(match[0] for line in server.stdout if (match := re.search(r"http://\S+", line)))
        with sync_playwright() as playwright:
            chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium or None, args=FLAGS)
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            page.goto(f"{address}?event=1")
            page.wait_for_function(IDLE, timeout=60_000)
            page.wait_for_timeout(2_000)
            page.screenshot(path=out)
            browser.close()
    finally:
        server.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:3])
