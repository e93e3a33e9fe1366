"""The page of a training that goes on, and that of a hundred runs, in headless Chromium.

* live: a ResNet-20 is trained and recorded in one process, served in another. From the moment at which a snapshot can
  be read from the store until the page has drawn it, for each look at the run;
* compare: a hundred small runs side by side: until the page is complete, and until another layer is.

    python benchmarks/pages.py                   # both; some four minutes
    python benchmarks/pages.py --small           # ten runs, half a minute of training
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import explorer
import numpy as np
import pairs

from deeptracker import __version__, open_run
from deeptracker.errors import DeepTrackerError
from deeptracker.testing import simulate

LIMIT = 5.0
"""Seconds from the commit of a snapshot to its picture."""
SECONDS, RUNS = 90, 100
TRAINING = """
import sys, time, torch, trainings, deeptracker as dt
path, seconds = sys.argv[1], float(sys.argv[2])
torch.set_num_threads(1)
training, generator = trainings.TRAININGS["resnet20"], torch.Generator().manual_seed(1)
model = training.model()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
began, step = time.time(), 0
with dt.Recorder(path, model, optimizer=optimizer, every=1) as recorder:
    while time.time() - began < seconds:
        x, y = training.batch(generator)
        loss = torch.nn.functional.cross_entropy(model(x[:16]), y[:16])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recorder.step(step, loss=loss)
        step += 1
"""
WATCH = """
window.dtShown = []
const look = () => {
  const text = Bokeh.documents.map(d => d.get_model_by_name('live-status')).find(m => m)?.text ?? ''
  const newest = Number((text.match(/iteration ([\\d,]+)/) ?? ['', '0'])[1].replaceAll(',', ''))
  const last = window.dtShown.at(-1)
  if (newest && (!last || last[1] != newest))
    requestAnimationFrame(() => setTimeout(() => window.dtShown.push([Date.now() / 1000, newest]), 0))
  setTimeout(() => requestAnimationFrame(look), 30)
}
look()
"""


def newest(path: Path) -> int:
    """The last snapshot that can be read; −1 before there is one."""
    try:
        at = open_run(path).dataset("filters/dense")["iteration"].values
    except (DeepTrackerError, OSError):
        return -1
    return int(at[-1]) if len(at) else -1


def live(folder: Path, seconds: float, browser: Any) -> list[float]:
    """Seconds from each commit to its picture."""
    path = folder / "live"
    command = [sys.executable, "-c", TRAINING, str(path), str(seconds)]
    training = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.DEVNULL)
    while newest(path) < 0:
        time.sleep(0.2)
    commits: list[tuple[float, int]] = []
    with explorer.served(str(path)) as address:
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(f"{address}live")
        page.wait_for_function(explorer.IDLE, timeout=60_000)
        page.evaluate(WATCH)
        while training.poll() is None:
            last = newest(path)
            if not commits or last != commits[-1][1]:
                commits.append((time.time(), last))
            page.wait_for_timeout(50)
        page.wait_for_timeout(1000 * LIMIT)
        shown = page.evaluate("window.dtShown")
        page.close()
    first = shown[0][0]
    delays = []
    for at, iteration in commits:
        drawn = next((when for when, number in shown if number >= iteration), None)
        if at > first and drawn is not None:
            delays.append(max(0.0, drawn - at))
    return delays


LAYER = "select[aria-label=layer], [data-key=layer]"


def compare(folder: Path, runs: int, browser: Any) -> tuple[float, float]:
    """Milliseconds until the page of so many runs is complete, and until another layer is drawn."""
    for number in range(runs):
        simulate(folder / f"run-{number:03}", model="resnet20", iterations=100, images=200, passes=10, seed=number)
    with explorer.served(str(folder)) as address:
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        began = time.perf_counter()
        page.goto(f"{address}compare")
        page.wait_for_function(explorer.IDLE, timeout=300_000, polling=20)
        painted = 1000 * (time.perf_counter() - began)
        page.wait_for_timeout(3_000)
        page.screenshot(path=str(folder / "compare.png"))
        box = page.locator(LAYER).first
        names = box.locator("option").all_inner_texts()
        began = time.perf_counter()
        box.select_option(label=names[-1])
        page.wait_for_function("location.search.includes('layer=')", timeout=60_000, polling=20)
        page.wait_for_function(explorer.IDLE, timeout=60_000, polling=20)
        changed = 1000 * (time.perf_counter() - began)
        page.close()
    return painted, changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="ten runs, half a minute of training")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    print(f"deeptracker {__version__}, Python {platform.python_version()}; {pairs.processor()}; {pairs.load()}")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=explorer.FLAGS)
        delays = live(Path(temporary), SECONDS / 3 if asked.small else SECONDS, browser)
        within = float(max(delays)) <= LIMIT
        print(
            f"live: {len(delays)} commits of a training; a snapshot is drawn {np.median(delays):.1f} s after it can "
            f"be read, at most {max(delays):.1f} s (limit {LIMIT:.0f}: {pairs.verdict(within)})",
            flush=True,
        )
        runs = 10 if asked.small else RUNS
        painted, changed = compare(Path(temporary) / "runs", runs, browser)
        print(f"compare: {runs} runs: complete after {painted / 1000:.1f} s; another layer after {changed:.0f} ms")
        browser.close()
    print(f"At the end: {pairs.load()}.")


if __name__ == "__main__":
    main()
