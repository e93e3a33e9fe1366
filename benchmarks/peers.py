"""The same data, the same questions: ours, and what people would otherwise do. Seconds to write, bytes, seconds each.

The data: three statistics of every filter of ResNet-50 at every record, and the answers to every validation image at
every pass. The questions:

1. one layer's filters over all time (the last convolution, 2,048 filters);
2. all filters at one iteration;
3. the mean over the filters of each layer, at every iteration;
4. the accuracy of each class at every pass;
5. the answers to the images of one class.

Who answers, each in a file of ``contestants/`` that says how it is used there: our run, read as the views read it;
pandas on Parquet; xarray's ``open_zarr`` on our raw log, with chunks as it finds them, with chunks as long as our
shards, and without Dask; TensorBoard's ``EventAccumulator``; SQLite with JSON documents.

Every answer is compared with what was written: one that differs ends the benchmark. Each question is asked of what
was just opened, nothing is kept from the one before (of our run also once opened, as a page holds it); the file
system's cache is warm.

    python benchmarks/peers.py --small
    python benchmarks/peers.py
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pairs
from contestants.board import Board
from contestants.data import ASKED, KEPT, QUESTIONS, Array, Contestant, Data, simulated
from contestants.documents import Documents
from contestants.ours import Opened, Ours
from contestants.parquet import Parquet
from contestants.plain import CHUNKS, Plain
from disk import size_of

from deeptracker import __version__

TOLERANCE = 1e-4
LONG = 10  # seconds: what takes longer is asked once


def contestants(folder: Path, data: Data, without: list[str]) -> list[Contestant]:
    """Ours first, whose log others read."""
    ours = Ours(folder, data)
    others: dict[str, list[Contestant]] = {
        "parquet": [Parquet(folder, data)],
        "plain": [Plain(ours, chunks) for chunks in CHUNKS],
        "board": [Board(folder, data)],
        "documents": [Documents(folder, data)],
    }
    return [ours, Opened(ours), *(one for kind, some in others.items() if kind not in without for one in some)]


def agrees(got: Array, want: Array) -> bool:
    """Whether an answer is right, every number of it."""
    return got.shape == want.shape and np.allclose(got, want, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, result)."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def answered(one: Contestant, question: str, right: Array, rounds: int) -> float | None:
    """Median seconds that a question takes; None where it cannot be answered."""
    times: list[float] = []
    while len(times) < rounds and (not times or times[-1] <= LONG):
        spent, got = seconds(lambda: one.ask(question))
        if got is None:
            return None
        assert agrees(got, right), f"{one.name} is wrong about {question}"
        times.append(spent)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="ResNet-20, 2,000 images, seconds")
    parser.add_argument("--iterations", type=int, help="records (default 192; small: 64)")
    parser.add_argument("--passes", type=int, help="validation passes (default 96; small: 32)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each question is asked (default 3)")
    parser.add_argument("--without", nargs="*", default=[], choices=["board", "documents", "plain", "parquet"])
    asked = parser.parse_args()
    iterations, passes = asked.iterations or (64 if asked.small else 192), asked.passes or (32 if asked.small else 96)
    sizes = {"images": 2000, "classes": 20} if asked.small else {"images": 50_000, "classes": 1000}
    model = "resnet20" if asked.small else "resnet50"
    data = simulated(model, iterations=iterations, passes=passes, seed=1, **sizes)
    right = data.right()
    print(
        f"deeptracker {__version__}, Python {platform.python_version()}; {pairs.processor()}; {pairs.load()}\n"
        f"{data.statistics[ASKED].shape[1]:,} filters, {iterations:,} records, {len(KEPT)} statistics; "
        f"{len(data.target):,} images, {len(data.passes):,} passes, {data.classes:,} classes\n\n"
        f"{'':26}{'write s':>9}{'MB':>8}" + "".join(f"{question:>22}" for question in QUESTIONS)
    )
    with tempfile.TemporaryDirectory() as temporary:
        ours: dict[str, float] = {}
        for one in contestants(Path(temporary), data, asked.without):
            written, _ = seconds(one.write)
            size = None if one.size_in is None else f"{size_of(one.size_in) / 1e6:.0f}"
            line = f"{one.name:26}" + (" " * 17 if size is None else f"{written:9.1f}{size:>8}")
            for question in QUESTIONS:
                median = answered(one, question, right[question], asked.rounds)
                if median is None:
                    line += f"{'cannot':>22}"
                    continue
                ours.setdefault(question, median)
                line += f"{f'{1000 * median:,.0f} ms':>12}{f'× {median / ours[question]:,.1f}':>10}"
            print(f"{line}   {one.note}", flush=True)
    print(
        f"\nSeconds: median of {asked.rounds}; ×: of ours. All answers are the same to {TOLERANCE:g}. "
        f"At the end: {pairs.load()}."
    )


if __name__ == "__main__":
    main()
