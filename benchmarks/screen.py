"""How long the screen waits for what it reads: random zooms and picks, at the paper's scale and at ten times that.

Each kind of read is one call of ``deeptracker.screen``, as the views make it, loaded into NumPy:

* all layers: one statistic of every filter of the net;
* layers as wholes: one statistic of every layer;
* one layer's filters: of a random layer;
* all classes: the error of every class at every pass;
* one class's images: every answer of a random class;
* all images: in rows of at most about 260 pixels, by class: a row a class, there are more classes than pixels;
* all images, ten classes: the same as if neighbouring classes were one: several rows a class;
* the cube: its three faces.

Zooms lie anywhere, their width is drawn by its logarithm from 50 records to the whole run; each fourth one is the
whole run. Cold: everything that we keep in memory is dropped before each read, groups are opened anew. Warm: groups
are open, the place is a new one each time, so no values are at hand. The file system's cache is warm in both.

    python benchmarks/screen.py --small                  # seconds, to try it out
    python benchmarks/screen.py --keep /data/screen      # makes both runs once: 8 GB, half an hour on two cores
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pairs
import scales

from deeptracker import __version__, screen
from deeptracker.screen import answers, cube
from deeptracker.screen.image_rows import image_rows
from deeptracker.store import Run
from deeptracker.store.arrays import row_files

LIMIT = 100.0
"""Milliseconds that 95 of 100 reads may take at most."""
PIXELS = 1200
LEAST_WIDTH = 50

Zoom = tuple[float, float]
Read = Callable[[Run, np.random.Generator, Zoom], Any]


def all_layers(run: Run, rng: np.random.Generator, zoom: Zoom) -> Any:
    """One statistic of every filter."""
    return screen.read(run, "filters/dense", [_statistic(rng)], *zoom, PIXELS)


def whole_layers(run: Run, rng: np.random.Generator, zoom: Zoom) -> Any:
    """One statistic of every layer."""
    return screen.read(run, "layers/dense", [_statistic(rng)], *zoom, PIXELS)


def one_layer(run: Run, rng: np.random.Generator, zoom: Zoom) -> Any:
    """One statistic of the filters of a layer."""
    net = screen.table(run, "architecture", ["first_filter", "filters"])
    layer = rng.integers(net.sizes["layer"])
    first, count = int(net["first_filter"][layer]), int(net["filters"][layer])
    return screen.read(
        run, "filters/dense", [_statistic(rng)], *zoom, PIXELS, select={"filter": slice(first, first + count)}
    )


def all_classes(run: Run, rng: np.random.Generator, zoom: Zoom) -> Any:
    """The error of every class."""
    return screen.read(run, f"index/validation/{scales.VIEW}/classes", ["accuracy"], *zoom, PIXELS)


def class_images(run: Run, rng: np.random.Generator, zoom: Zoom) -> Any:
    """The answers to the images of a class."""
    classes = answers.classes_of(run, scales.VIEW)
    rows = classes.members(int(rng.integers(len(classes.names))))
    return answers.images_of(run, scales.VIEW, rows, *zoom)


def all_images(run: Run, rng: np.random.Generator, zoom: Zoom) -> Any:
    """Rows of images, by class."""
    return image_rows(run, scales.VIEW, answers.classes_of(run, scales.VIEW), 260, *zoom)


def all_images_of_ten(run: Run, rng: np.random.Generator, zoom: Zoom) -> Any:
    """Rows of images, of ten classes."""
    classes = answers.classes_of(run, scales.VIEW)
    ten = replace(
        classes,
        names=tuple("0123456789"),
        order=np.arange(10),
        borders=classes.borders[np.linspace(0, len(classes.names), 11).astype(int)],
    )
    return image_rows(run, scales.VIEW, ten, 260, *zoom)


def faces(run: Run, rng: np.random.Generator, zoom: Zoom) -> Any:
    """The three faces of the cube, and its mini-sets."""
    return cube.faces(run, scales.VIEW, *zoom), cube.minisets(run, scales.VIEW)


KINDS: dict[str, Read] = {
    "all layers": all_layers,
    "layers as wholes": whole_layers,
    "one layer's filters": one_layer,
    "all classes": all_classes,
    "one class's images": class_images,
    "the cube": faces,
    "all images": all_images,
    "all images, ten classes": all_images_of_ten,
}


def _statistic(rng: np.random.Generator) -> str:
    return str(rng.choice(scales.KEPT))


def zoom_of(rng: np.random.Generator, number: int, records: int, last: int) -> Zoom:
    """A random range of iterations."""
    if number % 4 == 0:
        return 0.0, float(last)
    width = float(np.exp(rng.uniform(np.log(LEAST_WIDTH / records), 0)))
    start = rng.uniform(0, 1 - width)
    return start * last, (start + width) * last


def drop_caches() -> None:
    """Keep nothing in memory of what was opened or read."""
    screen.forget()
    answers.forget_classes()
    row_files.cache_clear()


def fill_cache(run: Run) -> None:
    """Read every file once: what was made or measured before may have driven them out of the system's cache."""
    for path in Path(str(run.path)).rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(8 << 20):
                    pass


def times(run: Run, read: Read, reads: int, cold: bool, seed: int) -> list[float]:
    """Milliseconds of each read."""
    rng = np.random.default_rng(seed)
    records = screen.sizes(run, "filters/dense")["iteration"]
    last = int(screen.coordinate(run, "filters/dense", "iteration")[-1])
    if not cold:
        read(run, np.random.default_rng(seed + 1), (0.0, float(last)))
    taken = []
    for number in range(reads):
        zoom = zoom_of(rng, number, records, last)
        if cold:
            drop_caches()
        else:
            screen.forget_values()
        began = time.perf_counter()
        read(run, rng, zoom)
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="ResNet-20, 300 and 3,000 snapshots")
    parser.add_argument("--keep", type=Path, help="folder in which the runs are made once, and kept")
    parser.add_argument("--reads", type=int, default=100, help="of each kind, cold and warm (default 100)")
    parser.add_argument("--scales", nargs="+", choices=["paper", "ten-times"], default=["paper", "ten-times"])
    asked = parser.parse_args()
    sizes = {"paper": scales.SMALL, "ten-times": scales.SMALL_TEN_TIMES} if asked.small else scales.BOTH
    print(f"deeptracker {__version__}, Python {platform.python_version()}; {pairs.processor()}; {pairs.load()}")
    with tempfile.TemporaryDirectory() as temporary:
        for name in asked.scales:
            scale = sizes[name]
            run = scales.made(scale, asked.keep or Path(temporary))
            fill_cache(run)
            print(
                f"\n{scale.name}: {scale.model}, {screen.sizes(run, 'filters/dense')['filter']:,} filters, "
                f"{scale.records:,} snapshots, {scale.images:,} images × {scale.records:,} passes, "
                f"{scale.classes:,} classes; {asked.reads} reads of each kind; {pairs.load()}"
            )
            print(f"{'ms':24}{'cold':^30}{'warm':^30}\n{'':24}" + f"{'p50':>10}{'p95':>10}{'max':>10}" * 2)
            for kind, read in KINDS.items():
                line, worst = f"{kind:24}", 0.0
                for cold in (True, False):
                    taken = times(run, read, asked.reads, cold, seed=7)
                    p50, p95 = np.quantile(taken, [0.5, 0.95])
                    line, worst = line + f"{p50:10.1f}{p95:10.1f}{max(taken):10.1f}", max(worst, float(p95))
                print(f"{line}   p95 at most {LIMIT:g}: {pairs.verdict(worst <= LIMIT)}", flush=True)
    print(f"\nAt the end: {pairs.load()}.")


if __name__ == "__main__":
    main()
