"""What an analysis costs beside bare reading, at paper scale: ResNet-50, 27,560 filters, 750 records, 50,000 images.

A run is simulated, read bare and analysed by workers of one core each, in the same minutes. A worker's threads (those
that read and write files among them) are kept on its core; this process and the scheduler run wherever there is room.
Bare reading is the limit: every variable of the groups that an analysis reads, whole files at a time, and nothing
done with them.

    python benchmarks/analysis.py                    two workers
    python benchmarks/analysis.py --workers 1 2      and how much faster than one
    python benchmarks/analysis.py --long             a dozen variables, ten times the length beside the usual one,
                                                     and one in between
    python benchmarks/analysis.py --keep FOLDER      where the runs are kept for the next time
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import numpy as np
from pairs import processor, verdict

from deeptracker import Run, __version__, analyze, open_run
from deeptracker.aggregate import Source, windows
from deeptracker.analysis import Forecast, forecast
from deeptracker.cluster import Profile, connect
from deeptracker.store import LogWriter
from deeptracker.testing import simulate

INDEX, ALL, GROWTH, WORKER_GIB, TWO_WORKERS = 5.0, 20.0, 1.1, 1.5, 1.7  # the limits
RECORDS, BETWEEN, IMAGES, CLASSES = 750, 2_500, 50_000, 1000
STAGES = ("index", "anomalies", "correlation")
GROUPS = {"filters/dense": "iteration", "layers/dense": "iteration", "validation/validation/raw": "validation"}
DOZEN = {
    "update_angle", "update_ratio2", "update_norm2", "update_cosine", "grad_ratio2", "g_norm2", "w_rms", "nonfinite",
    "bn_gamma", "bn_beta", "bn_running_mean", "bn_running_var",
}  # fmt: skip
"""What the detection looks at."""


class Few(LogWriter):
    """A dozen variables of the filters hold numbers; the others, which a run must have, NaN."""

    def append(self, group: str, position: int, row: Mapping[str, Any]) -> None:
        if group == "filters/dense":
            kept = {*DOZEN, "steps"}
            row = {name: values if name in kept else np.full_like(values, np.nan) for name, values in row.items()}
        super().append(group, position, row)


def make(path: Path, records: int, few: bool) -> Path:
    """A run of so many records and passes, unless it is there."""
    if not path.exists():
        sink = Few(path, resume=False) if few else path
        simulate(sink, model="resnet50", iterations=records, images=IMAGES, passes=records, classes=CLASSES)
    return path


def _read(source: Source, name: str, start: int, stop: int) -> int:
    return int(source.read(name, start, stop).nbytes)


def read_bare(run: Run) -> int:
    """Everything that an analysis reads, once; bytes, uncompressed."""
    tasks = []
    for group, axis in GROUPS.items():
        source = Source(run, group)
        for span in windows(source, axis, most_bytes=16 << 20):
            tasks += [
                dask.delayed(_read, pure=False)(source, str(name), *span)
                for name, variable in source.dataset.data_vars.items()
                if variable.ndim > 1
            ]
    return sum(dask.compute(*tasks))


def _keep_to(core: int) -> None:
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / (1 << 20)


@contextmanager
def measured(client: Any, found: Found, stage: str) -> Iterator[None]:
    """Seconds of the block, unless it was faster before, and the most memory of any worker."""
    client.run(_forget_peak)
    began = time.perf_counter()
    yield
    found.seconds[stage] = min(found.seconds.get(stage, float("inf")), time.perf_counter() - began)
    found.peak = max(found.peak, *client.run(_peak).values())


@dataclass
class Found:
    """Seconds of each stage and of bare reading ("bare"), what was forecast, and GiB of the largest worker."""

    records: int
    workers: int
    forecast: Forecast
    nbytes: int = 0
    peak: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """All stages over bare reading."""
        return self.analysis / self.seconds["bare"]

    @property
    def analysis(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds[stage] for stage in STAGES)

    def line(self) -> str:
        bare = self.seconds["bare"]
        stages = "".join(f"{self.seconds[stage]:8.1f} ({self.seconds[stage] / bare:4.1f})" for stage in STAGES)
        return (
            f"{self.records:7,} {self.workers:8} {self.nbytes / 1e9:7.1f} {bare:7.1f}{stages}"
            f"{self.ratio:8.1f} {self.peak:9.2f} {self.forecast.peak / (1 << 30):9.2f}"
        )


def measure(path: Path, records: int, workers: int) -> Found:
    """Two analyses, with bare reading before, between and after; the best of each."""
    with connect(Profile(workers=workers)) as client, dask.config.set(scheduler=client):
        cores = sorted(os.sched_getaffinity(0))
        for core, worker in zip(cores, client.scheduler_info(n_workers=-1)["workers"], strict=False):
            client.run(_keep_to, core, workers=[worker])
        run = open_run(path)
        found = Found(records, workers, forecast(run, STAGES, anew=True))
        for stage in ("bare", *STAGES, "bare", *STAGES, "bare"):
            with measured(client, found, stage):
                if stage == "bare":
                    found.nbytes = read_bare(run)
                else:
                    run = analyze(run, stages=[stage], client=client)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[2], help="how many, one core each")
    parser.add_argument("--long", action="store_true", help="a dozen variables, and ten times the length")
    parser.add_argument("--keep", type=Path, help="folder where the runs stay")
    chosen = parser.parse_args()
    folder = chosen.keep or Path(tempfile.mkdtemp())
    lengths = (RECORDS, BETWEEN, 10 * RECORDS) if chosen.long else (RECORDS,)
    variables = "12 variables" if chosen.long else "every variable"
    print(f"deeptracker {__version__}; {processor()}; ResNet-50, {variables} of the filters; {IMAGES:,} images")
    print("seconds, in brackets over bare reading; a record is a pass too; memory of a worker in GiB")
    print(
        f"records  workers      GB    bare{''.join(f'{stage:>15}' for stage in STAGES)}     all    memory  forecast"
    )
    results = []
    try:
        for records in lengths:
            path = make(folder / f"{records}{'-few' if chosen.long else ''}", records, chosen.long)
            for workers in chosen.workers:
                results.append(measure(path, records, workers))
                print(results[-1].line(), flush=True)
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder)
    _judge(results)


def _judge(results: list[Found]) -> None:
    first, last = results[0], results[-1]
    tasks = first.forecast.cost.tasks / (first.nbytes / 1e9)
    print(f"{tasks:.0f} tasks a GB of log: {first.forecast}")
    if last.records == first.records:  # of a run whose other variables hold nothing, bare reading is no measure
        index = max(found.seconds["index"] / found.seconds["bare"] for found in results)
        print(f"index {index:.1f} times bare reading   at most {INDEX:.0f}: {verdict(index <= INDEX)}")
        ratio = max(found.ratio for found in results)
        print(f"all stages {ratio:.1f} times           at most {ALL:.0f}: {verdict(ratio <= ALL)}")
    peak = max(found.peak for found in results)
    print(f"largest worker {peak:.2f} GiB         at most {WORKER_GIB}: {verdict(peak <= WORKER_GIB)}")
    if last.records > first.records:
        growth = last.ratio / first.ratio
        print(f"ten times the length: {growth:.2f} times the ratio   at most {GROWTH}: {verdict(growth <= GROWTH)}")
    by_workers = {found.workers: found.analysis for found in results if found.records == first.records}
    if {1, 2} <= by_workers.keys():
        faster = by_workers[1] / by_workers[2]
        print(
            f"two workers {faster:.2f} times one's speed   at least {TWO_WORKERS}: {verdict(faster >= TWO_WORKERS)}"
        )


if __name__ == "__main__":
    main()
