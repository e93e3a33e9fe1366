"""A long recording at every iteration: do files, memory and time stay bounded, and is the analysis right at the end?

python soak/recording.py                                   # 20,000 iterations, a planted fault, the analysis
python soak/recording.py --iterations 100000 --no-analysis # memory of a long recording
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import deeptracker as dt
from deeptracker.testing.faults import Fault, Ground, plant
from deeptracker.testing.resnet import SmallResNet

SITES = [("layer1.0.conv1", "layer1.0.bn1"), ("layer2.0.conv1", "layer2.0.bn1")]
MARKS = 10


def resident() -> float:
    """MiB of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def files_and_bytes(folder: Path) -> tuple[int, int]:
    """Number and size of the files of a run."""
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return len(sizes), sum(sizes)


def record(path: Path, iterations: int, fault: Fault) -> list[tuple[int, float, int, int, float]]:
    """Train and record; returns (iteration, MiB, files, bytes, ms an iteration) at ten marks."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    model = SmallResNet(widths=(4, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    centres = torch.randn(10, 1, 8, 8, generator=generator)
    target = torch.arange(100) % 10
    images = centres[target] + 1.2 * torch.randn(100, 1, 8, 8, generator=generator)
    marks, began = [], time.perf_counter()
    every_mark = max(1, iterations // MARKS)
    with dt.Recorder(path, model, optimizer=optimizer, every=1, strict=True) as recorder:
        recorder.images(target=target)
        for step in range(iterations):
            fault.before_step(step, model, optimizer)
            y = torch.randint(0, 10, (16,), generator=generator)
            x = centres[y] + 1.2 * torch.randn(16, 1, 8, 8, generator=generator)
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(step, loss=loss)
            if step % 50 == 0:
                recorder.validate(step, [(images, target)])
            if (step + 1) % every_mark == 0:
                recorder.flush()
                seconds, began = time.perf_counter() - began, time.perf_counter()
                marks.append((step + 1, resident(), *files_and_bytes(path), 1000 * seconds / every_mark))
    return marks


def check(path: Path, fault: Fault) -> None:
    """Analyse; compare the index with plain NumPy, and the first event with what was planted."""
    began = time.perf_counter()
    run = dt.analyze(path)
    print(f"analysis: {time.perf_counter() - began:.0f} s")
    values = run.filters.update_ratio2.values
    size = 64
    coarse = run.dataset(f"index/filters_{size}")
    if coarse is not None:
        whole = values[: len(values) // size * size].reshape(-1, size, values.shape[1])
        found = coarse.update_ratio2.values[: len(whole)]
        expected = np.stack([np.nanmin(whole, 1), np.nanmean(whole, 1), np.nanmax(whole, 1)], 1)
        print(f"index, bins of {size}: differs from NumPy by at most {np.nanmax(np.abs(found / expected - 1)):.1e}")
    events = [event for event in run.event_documents() if event["kind"] == "anomaly"]
    truth = fault.truth
    first = events[0] if events else None
    hit = first is not None and abs(first["iteration"] - truth.iteration) <= 2 and truth.layers[0] in first["layers"]
    print(f"planted: {json.dumps({'iteration': truth.iteration, 'layers': truth.layers})}")
    print(f"first of {len(events)} events: {None if first is None else (first['iteration'], first['layers'])}")
    print(f"found by the first event: {'yes' if hit else 'NO'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--no-analysis", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    window = (asked.iterations // 2, asked.iterations * 3 // 4)
    fault = plant("dead-filters", asked.seed, window, Ground([str(i) for i in range(10)], SITES))
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        marks = record(folder / "run", asked.iterations, fault)
        print(f"deeptracker {dt.__version__}, torch {torch.__version__}, {platform.machine()}, one thread, every=1")
        print(f"{'iteration':>10}{'memory, MiB':>13}{'files':>8}{'MB on disk':>12}{'ms an iteration':>17}")
        for iteration, memory, files, size, ms in marks:
            print(f"{iteration:10,}{memory:13.0f}{files:8,}{size / 1e6:12.1f}{ms:17.2f}")
        files, size = files_and_bytes(folder / "run")
        grown = marks[-1][1] - marks[0][1]
        print(f"closed: {files:,} files, {size / 1e6:.1f} MB; memory from first to last mark: {grown:+.0f} MiB")
        if not asked.no_analysis:
            check(folder / "run", fault)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
