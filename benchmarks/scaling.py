"""Where an analysis stops getting faster: a model of 100 workers and a log of 1 TB, from measured costs of tasks.

Measured here, on two small logs of the same net: the seconds that each kind of task takes a worker, how many tasks
a record makes, what the scheduler takes for a task that does nothing, the time in which no worker has anything to do
(the client's part: so much for any log, and so much a record), and the bytes that storage has to give. The model then
says, for each stage,

    time = client's part + largest of (seconds of all tasks / workers, tasks × scheduler, bytes / storage)

with tasks and bytes proportional to the length of the log. It knows nothing of stragglers, of start-up, nor of a
network that is shared with others.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --keep FOLDER --storage 5 --terabytes 1
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import CLASSES, IMAGES, RECORDS, STAGES, make
from pairs import processor

from deeptracker import __version__, analyze, open_run
from deeptracker.cluster import Profile, connect

SHORT = 200
WORKERS = (1, 2, 10, 30, 100, 300, 1000)


@dataclass
class Stage:
    """What a stage took on the longer log: tasks, their seconds, those of the client, bytes that tasks read.

    ``constant`` are the client's seconds that any log takes.
    """

    tasks: int
    busy: float
    idle: float
    nbytes: int
    constant: float = 0.0

    def seconds(self, workers: int, times: float, overhead: float, storage: float) -> tuple[float, str]:
        """Of a log so many ``times`` as long, and what sets them."""
        parts = {
            "workers": self.busy * times / workers,
            "scheduler": self.tasks * times * overhead,
            "storage": self.nbytes * times / storage,
        }
        slowest = max(parts, key=lambda name: parts[name])
        alone = self.constant + (self.idle - self.constant) * times
        return alone + parts[slowest], slowest if parts[slowest] > alone else "client"


def measure(client: Any, path: Path, stage: str) -> tuple[Stage, dict[str, list[float]]]:
    """One stage on the workers that there are, and the seconds of its tasks by kind."""
    from deeptracker.analysis import forecast

    run = open_run(path)
    nbytes = forecast(run, [stage], anew=True).cost.read
    began = time.time()
    analyze(run, stages=[stage], client=client)
    ended = time.time()
    kinds: dict[str, list[float]] = defaultdict(list)
    spans = []
    for task in client.get_task_stream(start=began, stop=ended):
        for part in task["startstops"]:
            if part["action"] == "compute":
                kinds[_kind(task["key"])].append(part["stop"] - part["start"])
                spans.append((part["start"], part["stop"]))
    return Stage(len(spans), sum(itertools.chain(*kinds.values())), _idle(spans, began, ended), nbytes), kinds


def _kind(key: Any) -> str:
    return str(key[0] if isinstance(key, tuple) else key).rsplit("-", 5)[0].strip("_")


def _idle(spans: list[tuple[float, float]], began: float, ended: float) -> float:
    """Seconds in which no task ran."""
    idle, reached = 0.0, began
    for start, stop in sorted(spans):
        idle += max(0.0, start - reached)
        reached = max(reached, stop)
    return idle + max(0.0, ended - reached)


def scheduler_seconds(client: Any, tasks: int = 3000) -> float:
    """What the scheduler takes for one task that does nothing."""
    client.gather(client.map(int, range(100), pure=False))
    began = time.perf_counter()
    client.gather(client.map(int, range(tasks), pure=False))
    return (time.perf_counter() - began) / tasks


def main() -> None:
    """Measure, then tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder where the run stays")
    parser.add_argument("--terabytes", type=float, default=1.0, help="size of the log, uncompressed")
    parser.add_argument("--storage", type=float, default=5.0, help="GB/s that storage gives to all workers together")
    chosen = parser.parse_args()
    folder = chosen.keep or Path(tempfile.mkdtemp())
    try:
        path = make(folder / str(RECORDS), RECORDS, few=False)
        short = make(folder / str(SHORT), SHORT, few=False)
        run = open_run(path)
        size = sum(
            run.dataset(group).nbytes for group in ("filters/dense", "layers/dense", "validation/validation/raw")
        )
        with connect(Profile(workers=2)) as client:
            client.get_task_stream()  # from now on
            overhead = scheduler_seconds(client)
            stages = {}
            print(f"deeptracker {__version__}; {processor()}; ResNet-50, {RECORDS} records, {IMAGES:,} images of "
                  f"{CLASSES:,} classes: {size / 1e9:.1f} GB")  # fmt: skip
            print(f"scheduler: {1000 * overhead:.2f} ms a task")
            for stage in STAGES:
                less, _ = measure(client, short, stage)
                found, kinds = measure(client, path, stage)
                a_record = max(found.idle - less.idle, 0.0) / (RECORDS - SHORT)
                found.constant = max(found.idle - a_record * RECORDS, 0.0)
                stages[stage] = found
                print(
                    f"{stage}: {found.tasks} tasks, {found.busy:.1f} s of workers, {found.idle:.1f} s of the client"
                )
                for kind, seconds in sorted(kinds.items(), key=lambda item: -sum(item[1]))[:6]:
                    print(f"    {kind:34} {len(seconds):6} × {sum(seconds) / len(seconds):7.3f} s")
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder)
    times = chosen.terabytes * 1e12 / size
    log = f"a log of {chosen.terabytes:g} TB ({times * RECORDS:,.0f} records)"
    print(f"\n{log}, storage {chosen.storage:g} GB/s: minutes, and what sets them")
    print("workers" + "".join(f"{stage:>22}" for stage in STAGES) + f"{'all':>10}")
    for workers in WORKERS:
        told = [stages[stage].seconds(workers, times, overhead, chosen.storage * 1e9) for stage in STAGES]
        cells = "".join(f"{seconds / 60:12.1f} {why:>9}" for seconds, why in told)
        print(f"{workers:7}{cells}{sum(seconds for seconds, _ in told) / 60:10.1f}")


if __name__ == "__main__":
    main()
