"""Takes every picture of the documentation: ``python docs/gallery.py DEMO_RUN SIMULATED_RUN`` (needs Chromium).

Writes ``docs/explorer.png`` for the README, ``docs/gallery/*.png``, and ``docs/gallery.md``, which shows them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
IDLE = "window.Bokeh && Bokeh.documents.length && Bokeh.documents.every(d => d.is_idle)"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
SCROLL = """name => { for (const v of Bokeh.index.all_views()) if (v.model.name == name) v.el.scrollIntoView() }"""
COLOURS = 256


@dataclass(frozen=True)
class Shot:
    """One picture: of the demo run, or of the simulated one (``large``), at an address, scrolled to a section."""

    name: str
    caption: str
    address: str = ""
    section: str = ""
    large: bool = False
    key: str = ""
    size: tuple[int, int] = (1600, 1000)


SHOTS = (
    Shot("explorer", "The page of an event on a demo run in which labels were changed for a while", "?event=1"),
    Shot("layers", "All 54 layers and 27,560 filters of a ResNet-50 (simulated) on one screen", "", large=True),
    Shot("stages", "Its stages, one opened into blocks", "?level=stage&opened=layer3", large=True),
    Shot("horizon", "Layers as horizons: gradients against their usual size", "?look=horizon&statistic=g_rms"),
    Shot("quantiles", "Quantiles of the filters of each layer", "?look=band&show=value&statistic=w_rms&scale=layer"),
    Shot("ratios", "Change ratios: which share of the weights has which |g/w|", "?look=ratios"),
    Shot("histograms", "Histograms of the weights over time", "?look=weights"),
    Shot("classes", "Classes by similarity, with marks of the two rules", "?order=similarity",
         "section-classes", large=True),
    Shot("filters", "The filters of one layer, the series of one of them, and its weights at the start", "?event=1",
         "section-filters"),
    Shot("images", "The images of the class that the event names, a row each", "?event=1", "section-images"),
    Shot("answers", "L and R for several k, what happened to answers, and mistakes before and after", "?event=1",
         "section-answers"),
    Shot("cube", "The cube, unfolded, cut at a class", "?event=1", "section-cube"),
    Shot("cabinet", "The same in projection", "?event=1&form=cabinet", "section-cube"),
    Shot("paths", "Two statistics of a layer against each other, and shares of the layers", "?event=1",
         "section-trajectory"),
    Shot("net", "The net as a graph and as a tree", "?event=1", "section-architecture"),
    Shot("dark", "The dark theme", "?event=1", key="d"),
    Shot("narrow", "At 1280 pixels", "?event=1", size=(1280, 800)),
    Shot("live", "The page of a training that goes on (here: of one that has ended)", "live"),
)  # fmt: skip

COMPARE = Shot("compare", "Two runs side by side: what differs, curves, the same layer, differences", "compare")


@contextmanager
def served(path: str) -> Iterator[str]:
    """Address of the explorer of a run, or of a folder of runs, on a free port of this machine."""
    command = [str(Path(sys.executable).with_name("deeptracker")), "serve", path, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield next(match[0] for line in server.stdout if (match := re.search(r"http://\S+", line)))
    finally:
        server.terminate()
        server.wait()


def take(browser: Any, address: str, shot: Shot, to: Path) -> None:
    """Open, wait until everything is drawn, and photograph; few colours, as the files stay in the repository."""
    page = browser.new_page(viewport={"width": shot.size[0], "height": shot.size[1]})
    page.add_init_script("localStorage.setItem('dt-hints', 'layers classes filters images answers cube trajectory')")
    page.goto(address + shot.address)
    page.wait_for_function(IDLE, timeout=60_000)
    page.wait_for_timeout(3_000)
    if shot.key:
        page.keyboard.press(shot.key)
    for _ in range(2 if shot.section else 0):  # a section is made when it comes into sight, and then it is higher
        page.evaluate(SCROLL, shot.section)
        page.wait_for_timeout(3_000)
        page.wait_for_function(IDLE, timeout=60_000)
    page.wait_for_timeout(1_200)
    page.screenshot(path=str(to))
    page.close()
    picture = Image.open(to).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE).save(to, optimize=True)


def main(demo: str, large: str) -> None:
    """All pictures, and the page that shows them."""
    folder = HERE / "gallery"
    folder.mkdir(exist_ok=True)
    lines = ["# Gallery", "", "Made by `make gallery` from a demo run and a simulated one.", ""]
    with sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium or None, args=FLAGS)
        for run, of_large in ((demo, False), (large, True)):
            with served(run) as address:
                for shot in (s for s in SHOTS if s.large is of_large):
                    take(browser, address, shot, folder / f"{shot.name}.png")
        with served(str(Path(demo).parent)) as address:
            take(browser, address, COMPARE, folder / "compare.png")
        browser.close()
    shutil.copyfile(folder / "explorer.png", HERE / "explorer.png")
    for shot in (*SHOTS, COMPARE):
        lines += [f"**{shot.caption}**", "", f"![{shot.caption}](gallery/{shot.name}.png)", ""]
    (HERE / "gallery.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
