"""How far behind a training the events of `deeptracker analyze --follow` are: the seconds of an update.

A run of ResNet-20 is simulated at two lengths, a validation pass of 2,000 images every ten records. Of both, the
newest records are looked at as while a training goes on, and the whole as at its end, in this process.

    python benchmarks/live.py
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from pairs import processor, verdict

from deeptracker import __version__, analyze, open_run
from deeptracker.following import RECORDS, recent_events
from deeptracker.testing import simulate

LENGTHS, GROWTH = (4_000, 16_000), 1.2  # records; the limit of the longer one's update over the shorter one's
ROUNDS = 3


def main() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp())
    print(f"deeptracker {__version__}; {processor()}; ResNet-20, the newest {RECORDS:,} records")
    print("records   seconds of an update, each   events   seconds of the whole")
    best = []
    try:
        for length in LENGTHS:
            path = folder / str(length)
            simulate(path, model="resnet20", iterations=length, images=2_000, passes=length // 10, classes=10)
            taken = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                found = recent_events(open_run(path), RECORDS)
                taken.append(time.perf_counter() - began)
            began = time.perf_counter()
            analyze(path)
            whole = time.perf_counter() - began
            each = "  ".join(f"{seconds:5.1f}" for seconds in taken)
            print(f"{length:7,}   {each:>26}   {len(found):6}   {whole:20.1f}", flush=True)
            best.append(min(taken))
    finally:
        shutil.rmtree(folder)
    growth = best[1] / best[0]
    longer = LENGTHS[1] // LENGTHS[0]
    print(f"{longer} times the length: {growth:.2f} times the update   at most {GROWTH}: {verdict(growth <= GROWTH)}")


if __name__ == "__main__":
    main()
