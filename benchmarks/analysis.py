"""What an analysis costs beside bare reading, at paper scale: ResNet-50, 27,560 filters, 50,000 images.

A run is simulated (or given by ``--run``), then read bare and analysed by workers of one core each, in the same
minutes: every variable of the groups that are read, whole files at a time, nothing done with them; that is the limit.

    python benchmarks/analysis.py
    python benchmarks/analysis.py --lengths 750 7500 --few
    python benchmarks/analysis.py --workers 1 2
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask

from deeptracker import Run, analyze, open_run
from deeptracker.aggregate import Source, windows
from deeptracker.analysis import forecast
from deeptracker.cluster import Profile, connect
from deeptracker.testing import simulate

INDEX, STAGES, GROWTH, WORKER_GIB, TWO_WORKERS = 5.0, 20.0, 1.1, 1.5, 1.7  # the limits
FILTERS, IMAGES, PASSES, CLASSES = 27_560, 50_000, 750, 1000
READ = ("filters/dense", "layers/dense", "validation/validation/raw")


def bare(source: Source, name: str, start: int, stop: int) -> int:
    """Read and forget."""
    return source.read(name, start, stop).nbytes


def read_bare(run: Run) -> int:
    """Every variable of the groups that an analysis reads, whole files at a time; bytes, uncompressed."""
    tasks = []
    for group in READ:
        source = Source(run, group)
        table = source.dataset
        axis = str(next(iter(table.sizes)))
        axis = "validation" if group.startswith("validation") else "iteration"
        for name, variable in table.data_vars.items():
            if variable.ndim > 1:
                for span in windows(source, axis, most_bytes=16 << 20):
                    tasks.append(dask.delayed(bare, pure=False)(source, str(name), *span))
    return sum(dask.compute(*tasks))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) << 10


@contextmanager
def peaks(client: Any, into: dict[str, float], name: str) -> Iterator[None]:
    """Largest memory of any worker and of this process in the block, GiB."""
    client.run(_forget_peak)
    _forget_peak()
    yield
    into[name] = max(client.run(_peak).values()) / (1 << 30)
    into[f"{name}, client"] = _peak() / (1 << 30)


def measure(path: Path, workers: int, stages: tuple[str, ...], rounds: int) -> dict[str, Any]:
    """Seconds of the bare read (fastest of some) and of each stage, peaks of memory, forecast."""
    out: dict[str, Any] = {"peaks": {}, "seconds": {}, "forecast": {}}
    with connect(Profile(workers=workers)) as client, dask.config.set(scheduler=client):
        run = open_run(path)
        reads = []
        for _ in range(rounds):
            began = time.perf_counter()
            out["bytes"] = read_bare(run)
            reads.append(time.perf_counter() - began)
        for stage in stages:
            out["forecast"][stage] = str(forecast(run, (stage,), anew=True))
            with peaks(client, out["peaks"], stage):
                began = time.perf_counter()
                run = analyze(run, stages=[stage], client=client)
                out["seconds"][stage] = time.perf_counter() - began
        began = time.perf_counter()
        read_bare(run)
        reads.append(time.perf_counter() - began)
    out["bare"], out["reads"] = min(reads), reads
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run that is there already")
    parser.add_argument("--iterations", type=int, default=750)
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--stages", nargs="+", default=["index", "anomalies", "correlation"])
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if chosen.run is None else None
    try:
        path = chosen.run or folder / "run"
        if folder is not None:
            simulate(path, model="resnet50", iterations=chosen.iterations, images=IMAGES, passes=PASSES,
                     classes=CLASSES)  # fmt: skip
        for workers in chosen.workers:
            found = measure(path, workers, tuple(chosen.stages), chosen.rounds)
            print(workers, found)
    finally:
        if folder is not None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
