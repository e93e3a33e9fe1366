"""The same log in TensorBoard: how long until a page is complete, and how long its gestures take, beside ours.

The recorded statistics of every filter become histograms of a layer, one a record, in event files, as people log
them; what was logged besides becomes scalars. TensorBoard is started on them with its defaults (it keeps 500 of the
records of a histogram, chosen at random), and has read them all before a page is opened. Both pages are opened and
used in the same headless Chromium, one after the other.

    python benchmarks/dashboards.py                 # a log of the paper's scale is simulated and analysed
    python benchmarks/dashboards.py --small         # a small one
    python benchmarks/dashboards.py --run RUN       # a run of yours, analysed
    python benchmarks/dashboards.py --run RUN --write FOLDER      # only write the event files
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import explorer
import numpy as np
import pairs
import scales

from deeptracker import __version__, open_run
from deeptracker.view.places import layers_of

STATISTICS = ("w_rms", "g_rms", "update_angle")
SCALARS = ("loss", "grad_norm", "learning_rate")
MOST_CLASSES = 20
BLOCK = 64
"""Records that are read at a time."""
VISIBLE = """() => {
  const deep = (root, found = []) => {
    for (const node of root.querySelectorAll('*')) {
      if (node.tagName.toLowerCase() == TAG) found.push(node)
      if (node.shadowRoot) deep(node.shadowRoot, found)
    }
    return found
  }
  const seen = deep(document).filter(node => {
    const box = node.getBoundingClientRect()
    return box.width > 0 && box.bottom > 0 && box.top < window.innerHeight
  })
  return seen.length > 0 && seen.every(node => DRAWN)
}"""
HISTOGRAMS = VISIBLE.replace("TAG", "'vz-histogram-timeseries'").replace(
    "DRAWN", "node.shadowRoot.querySelectorAll('path').length > 3"
)
DISTRIBUTIONS = VISIBLE.replace("TAG", "'vz-distribution-chart'").replace(
    "DRAWN", "node.shadowRoot.querySelectorAll('path.area').length > 1"
)

FIRST_CARD = """() => {
  const deep = root => {
    for (const node of root.querySelectorAll('*')) {
      if (node.tagName.toLowerCase() == 'tf-card-heading' && node.getBoundingClientRect().width > 0) return node
      const found = node.shadowRoot && deep(node.shadowRoot)
      if (found) return found
    }
  }
  return String(deep(document)?.tag)
}"""
"""The tag of the first card that is shown."""


def write(run: Any, folder: Path) -> int:
    """Event files of a run's statistics; the number of histograms."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    places, filters = layers_of(run), run.filters
    for name in (name for name in SCALARS if name in run.scalars):
        values = run.scalars[name]
        values = values.isel(param_group=0) if "param_group" in values.dims else values
        for at, value in zip(values["iteration"].values, values.values, strict=True):
            writer.add_scalar(name, float(value), int(at))
    for view in run.validation_sets:
        correct = run.dataset(f"validation/{view}")["correct"]
        target = run.dataset(f"images/{view.split('/')[0]}")["target"].values
        for step, right in zip(correct["validation"].values, correct.values, strict=True):
            writer.add_scalar(f"{view}/error", 1 - float(right.mean()), int(step))
            for label in np.unique(target[target >= 0])[:MOST_CLASSES]:
                writer.add_scalar(
                    f"{view}/error of class {label}", 1 - float(right[target == label].mean()), int(step)
                )
    at = filters["iteration"].values
    count = 0
    for name in (name for name in STATISTICS if name in filters):
        for first in range(0, len(at), BLOCK):
            block = filters[name].isel(iteration=slice(first, first + BLOCK)).values
            for step, row in zip(at[first : first + BLOCK], block, strict=True):
                for place in places:
                    numbers = row[place.along("filter")]
                    numbers = numbers[np.isfinite(numbers)]
                    if len(numbers):
                        writer.add_histogram(f"{name}/{place.name}", numbers, int(step))
                        count += 1
    writer.close()
    return count


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """The address of a TensorBoard that has read the folder."""
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(folder),
        "--port",
        "0",
        "--host",
        "127.0.0.1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+/", line)))
        _until_read(address)
        yield address
    finally:
        process.terminate()
        process.wait()


def _until_read(address: str) -> None:
    """Wait until the number of tags stands still and the processor rests."""
    last, still = "", 0
    while still < 5:
        time.sleep(2)
        tags = urllib.request.urlopen(f"{address}data/plugin/histograms/tags").read().decode()
        still = still + 1 if tags == last and len(tags) > 10 else 0
        last = tags


def theirs(folder: Path, count: int) -> dict[str, list[float]]:
    """What is done on TensorBoard's pages → milliseconds, each ``count`` times."""
    from playwright.sync_api import sync_playwright

    times: dict[str, list[float]] = {}
    with tensorboard(folder) as address, sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=explorer.FLAGS)
        for tab, drawn in (("histograms", HISTOGRAMS), ("distributions", DISTRIBUTIONS)):
            for _ in range(count):
                page = browser.new_page(viewport={"width": 1600, "height": 1000})
                began = time.perf_counter()
                page.goto(f"{address}#{tab}")
                page.wait_for_function(drawn, timeout=120_000, polling=20)
                times.setdefault(f"{tab}, first paint", []).append(1000 * (time.perf_counter() - began))
                page.wait_for_timeout(2_000)
                shown = page.evaluate(FIRST_CARD)
                page.locator("text=NEXT PAGE").first.hover()
                began = time.perf_counter()
                page.locator("text=NEXT PAGE").first.click()
                page.wait_for_function(f"({FIRST_CARD})() != {shown!r} && ({drawn})()", timeout=120_000, polling=20)
                times.setdefault(f"{tab}, the next 12 layers", []).append(1000 * (time.perf_counter() - began))
                page.close()
        browser.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="ResNet-20, 300 snapshots")
    parser.add_argument("--keep", type=Path, help="folder in which the run is made once, and kept")
    parser.add_argument("--run", help="an analysed run to take instead")
    parser.add_argument("--write", type=Path, help="write the event files into this folder, and do nothing else")
    parser.add_argument("--visits", type=int, default=3, help="pages of each kind, and gestures on each (default 3)")
    asked = parser.parse_args()
    print(f"deeptracker {__version__}, Python {platform.python_version()}; {pairs.processor()}; {pairs.load()}")
    with tempfile.TemporaryDirectory() as temporary:
        path = asked.run
        if path is None:
            path = str(scales.made(scales.SMALL if asked.small else scales.PAPER, asked.keep or Path(temporary)).path)
        run, folder = open_run(path), asked.write or Path(temporary) / "events"
        count = write(run, folder)
        print(f"{count:,} histograms of {len(layers_of(run))} layers in event files", flush=True)
        if asked.write:
            return
        print(explorer.table("TensorBoard", theirs(folder, asked.visits)), flush=True)
        print(explorer.table("DeepTracker", explorer.measured(path, asked.visits, asked.visits)))
    print(f"\nAt the end: {pairs.load()}.")


if __name__ == "__main__":
    main()
