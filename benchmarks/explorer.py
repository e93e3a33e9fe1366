"""How long a hand waits for the explorer, in a headless browser: at the paper's scale and at ten times the log.

* first paint: from the request until everything that is visible at 1600 × 1000 is drawn and nothing is under way;
* zoom: a drag over a stretch of the layers, until the new range is drawn (finer rows of a long log come after it);
* drill-down: a click on a layer, until its filters are drawn;
* event: a click on an event, until its page and the new range are drawn;
* cut: a click on a cell of the cube, until all faces are drawn anew.

Times are taken in the page, from the mouse event to the end of the frame that shows its effect. The processor draws,
no graphics card does.

    python benchmarks/explorer.py --small                 # a small run, seconds
    python benchmarks/explorer.py --keep /data/screen     # the runs of benchmarks/screen.py
    python benchmarks/explorer.py --runs RUN …            # runs of your own
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pairs
import scales

from deeptracker import __version__

SERVE = "import sys; from deeptracker.app import serve; serve(sys.argv[1], port=0)"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
IDLE = "window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents.every(d => d.is_idle)"
LIMITS = {
    "first paint": 3000.0,
    "zoom": 150.0,
    "range, in the band": 150.0,
    "zoom, in the images": 150.0,
    "pan": 150.0,
    "drill-down": 250.0,
    "cut": 150.0,
}

WATCH = """
window.dtWatch = (condition, kind) => {
  window.dtDone = null
  const begin = event => {
    const began = event.timeStamp
    const look = () => requestAnimationFrame(() => {
      if (!condition()) return look()
      requestAnimationFrame(() => setTimeout(() => { window.dtDone = performance.now() - began }, 0))
    })
    look()
  }
  window.addEventListener(kind, begin, { once: true, capture: true })
}
window.dtModel = name => Bokeh.documents.map(d => d.get_model_by_name(name)).find(m => m)
window.dtFigures = test => Array.from(Bokeh.index.all_views()).filter(v => v.model.type == 'Figure' && test(v))
window.dtBox = view => {
  const box = view.el.getBoundingClientRect(), frame = view.frame.bbox
  return [box.left + frame.left, box.top + frame.top, frame.width, frame.height]
}
window.dtLayers = view => Array.from(
  view.model.renderers.find(r => r.glyph.type == 'Image').data_source.data.layer)
window.dtShow = view => { view.el.scrollIntoView({ block: 'center' }); return window.dtBox(view) }
null
"""


@contextmanager
def served(run: str) -> Iterator[str]:
    """The address of a run's explorer, in a process of its own."""
    with served_process(run) as (address, _):
        yield address


@contextmanager
def served_process(run: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(address, process) of a run's explorer."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", SERVE, run], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
        yield address, process
    finally:
        process.terminate()
        process.wait()


class Hand:
    """Gestures on one page, each timed."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.times: dict[str, list[float]] = {}

    def timed(self, name: str, condition: str, gesture: Callable[[], None], kind: str = "mouseup") -> None:
        """Make a gesture; its time is from the event of this kind until the pixels after the condition holds."""
        self.page.evaluate(f"window.dtWatch(() => {condition}, {kind!r})")
        gesture()
        self.page.wait_for_function("window.dtDone !== null", timeout=30_000)
        self.times.setdefault(name, []).append(float(self.page.evaluate("window.dtDone")))
        self.rest()

    def click(self, x: float, y: float) -> Callable[[], None]:
        """A click at a place that the hand has rested on for a moment."""
        self.page.mouse.move(x, y)
        self.page.wait_for_timeout(400)
        return lambda: self.page.mouse.click(x, y)

    def rest(self) -> None:
        self.page.wait_for_function(IDLE, timeout=60_000)
        self.page.wait_for_timeout(700)

    def box(self, test: str) -> list[float]:
        """Left, top, width and height, in the window, of the first figure for whose view ``v`` the ``test`` holds."""
        for _ in range(20):  # a page that was just jumped to holds its place for a moment
            self.page.evaluate(f"window.dtShow(window.dtFigures(v => {test})[0])")
            self.page.wait_for_timeout(200)
            box = list(self.page.evaluate(f"window.dtBox(window.dtFigures(v => {test})[0])"))
            if box[1] >= 0 and box[1] + box[3] <= self.page.viewport_size["height"]:
                break
        return box

    def jump(self, section: str, view: str) -> None:
        """Go to a section, which is made when it comes into sight."""
        self.page.locator(f'[data-go="{section}"]').first.click()
        self.page.wait_for_function(f"window.dtFigures(v => {view}).length", timeout=60_000)
        self.rest()


STRIPS = "String(v.model.title.text).match(/layers? ·/) && v.frame.bbox.width > 1"


IMAGES = "String(v.model.title.text).match(/^class .* images? ×/) && v.frame.bbox.width > 1"
BAND = "String(v.model.left[0]?.axis_label) == 'training loss' && v.frame.bbox.width > 1"


def zooms(hand: Hand, name: str, view: str, rng: np.random.Generator) -> None:
    """A drag over a view chooses a range; an arrow key pans it; back to the whole run."""
    page = hand.page
    left, top, wide, high = hand.box(view)
    a, b = sorted(rng.uniform(0.05, 0.95, 2))
    a, b = (a, b) if b - a > 0.1 else (0.3, 0.6)

    def drag() -> None:
        page.mouse.move(left + a * wide, top + high / 2)
        page.mouse.down()
        page.mouse.move(left + b * wide, top + high / 2, steps=6)
        page.mouse.up()

    moved = "window.dtModel('iterations').start != {}"
    hand.timed(name, moved.format(page.evaluate("window.dtModel('iterations').start")), drag)
    key = "ArrowLeft" if a > 0.3 else "ArrowRight"
    pressed = moved.format(page.evaluate("window.dtModel('iterations').start"))
    hand.timed("pan", pressed, lambda: page.keyboard.press(key), "keydown")
    page.keyboard.press("0")
    hand.rest()


def drill(hand: Hand, number: int) -> None:
    """A click on a layer whose filters are not shown."""
    left, top, wide, high = hand.box(STRIPS)
    layers = hand.page.evaluate(f"window.dtLayers(window.dtFigures(v => {STRIPS})[0])")
    heat = "window.dtFigures(v => String(v.model.title.text).includes('on top'))[0].model.title.text"
    told = hand.page.evaluate(heat)
    others = [i for i, name in enumerate(layers) if not told.startswith(f"{name} ")]
    row = (others[number % len(others)] + 0.5) / len(layers)
    click = hand.click(left + 0.5 * wide, top + row * high)
    hand.timed("drill-down", f"{heat} != {told!r}", click)


def gestures(hand: Hand, rng: np.random.Generator, count: int) -> None:
    """Zooms, drill-downs, events and cuts, in turn."""
    page = hand.page
    for number in range(count):
        zooms(hand, "zoom", STRIPS, rng)
        zooms(hand, "range, in the band", BAND, rng)
        drill(hand, number)
    hand.jump("section-images", IMAGES)
    for _ in range(count):
        zooms(hand, "zoom, in the images", IMAGES, rng)
    hand.jump("section-layers", STRIPS)
    cards = page.locator(".card button")
    for number in range(min(count, cards.count())):
        shown = f"document.location.search.includes('event={number + 1}') && " + IDLE
        hand.timed("event", shown, cards.nth(number).click)
    hand.page.keyboard.press("Escape")
    hand.rest()
    cube = "v.model.x_range.name != 'iterations' && String(v.model.below[0]?.axis_label) == 'class'"
    link = page.locator('[data-go="section-cube"]')
    if link.count():  # the cube is made when it comes into sight
        hand.timed("first cube", f"window.dtFigures(v => {cube} && v.frame.bbox.width > 1).length", link.click)
        for _ in range(count):
            left, top, wide, high = hand.box(cube)
            x, y = left + rng.uniform(0.05, 0.95) * wide, top + rng.uniform(0.05, 0.95) * high
            query = page.evaluate("location.search")  # it changes with the message that has the cut
            hand.timed("cut", f"location.search != {query!r}", hand.click(x, y))


def measured(run: str, count: int, visits: int) -> dict[str, list[float]]:
    """Gesture → milliseconds of each."""
    from playwright.sync_api import sync_playwright

    with served(run) as address, sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        paints = []
        for _ in range(visits):
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            began = time.perf_counter()
            page.goto(address)
            page.wait_for_function(IDLE, timeout=120_000, polling=20)
            paints.append(1000 * (time.perf_counter() - began))
            page.wait_for_timeout(3_000)  # marks come now
            if len(paints) < visits:
                page.close()
                page.wait_for_timeout(1_000) if not page.is_closed() else time.sleep(1)
        page.evaluate(WATCH)
        hand = Hand(page)
        hand.rest()
        gestures(hand, np.random.default_rng(7), count)
        browser.close()
    return {"first paint": paints, **hand.times}


def table(name: str, times: dict[str, list[float]]) -> str:
    """A line a gesture."""
    lines = [f"\n{name}", f"{'ms':36}{'times':>7}{'median':>10}{'largest':>10}{'limit':>10}"]
    for gesture, taken in times.items():
        line = f"{gesture:36}{len(taken):7}{np.median(taken):10.0f}{max(taken):10.0f}"
        if (limit := LIMITS.get(gesture)) is not None:
            line += f"{limit:10.0f}   median: {pairs.verdict(float(np.median(taken)) <= limit)}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="ResNet-20, 300 snapshots")
    parser.add_argument("--keep", type=Path, help="folder in which the runs are made once, and kept")
    parser.add_argument("--runs", nargs="+", help="analysed runs to take instead")
    parser.add_argument("--gestures", type=int, default=10, help="of each kind (default 10)")
    parser.add_argument("--visits", type=int, default=3, help="first paints (default 3)")
    asked = parser.parse_args()
    print(f"deeptracker {__version__}, Python {platform.python_version()}; {pairs.processor()}; {pairs.load()}")
    with tempfile.TemporaryDirectory() as temporary:
        if asked.runs:
            runs = [(run, run) for run in asked.runs]
        else:
            chosen = {"paper": scales.SMALL} if asked.small else scales.BOTH
            made = [scales.made(scale, asked.keep or Path(temporary)) for scale in chosen.values()]
            runs = [(run.path.name, str(run.path)) for run in made]
        for name, run in runs:
            print(table(name, measured(run, asked.gestures, asked.visits)), flush=True)
    print(f"\nAt the end: {pairs.load()}.")


if __name__ == "__main__":
    main()
