"""What recording ResNet-50 costs on a GPU: one snapshot of its 27,560 filters, and a training that records each step.

The snapshot is measured with CUDA events, from the first launch to the arrival of the accumulators on the host, by
our kernels, by torch's own operations, and beside both the bare sum of the four arrays that it reads. Where the host
is slower than the device, what the host needs is what the events show; its own time stands beside them.

The training is measured in blocks: a plain training and a recorded one live side by side and take turns, a block of
steps each; what comes once (the recorder's start, compilation) is not in it. The writing goes on in a thread of its
own, partly while the plain one has its turn.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --precision float32 --batch 64 --pairs 10
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pairs
import torch
from overhead import told
from resnet50 import resnet50
from torch import nn

from deeptracker import Recorder, __version__
from deeptracker.record.device import DeviceSet
from deeptracker.record.modules import find_layers
from deeptracker.record.segments import SegmentSet
from deeptracker.record.stacked import StackedSet

SNAPSHOT, STEP = 1.5, 1.05  # the limits: ms, and the ratio to a plain step


def launches(run: Callable[[], object]) -> tuple[int, int]:
    """Kernels that a call launches, and copies that it starts."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    names = [event.name for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    copies = sum(name.startswith(("Memcpy", "Memset")) for name in names)
    return len(names) - copies, copies


def in_turns(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median ms of each, on the device (by events) and on the host until all is launched."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for number in range(rounds + 3):
        for name, run in contestants.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            began = time.perf_counter()
            start.record()
            kept = run()  # else its memory is freed, which is no part of it
            end.record()
            host = 1000 * (time.perf_counter() - began)
            torch.cuda.synchronize()
            del kept
            if number >= 3:
                times[name].append((start.elapsed_time(end), host))
    return {
        name: (statistics.median(t[0] for t in all_of), statistics.median(t[1] for t in all_of))
        for name, all_of in times.items()
    }


def snapshots(device: torch.device, rounds: int) -> None:
    """One snapshot by each set, beside the bare sum."""
    model = resnet50().to(device)
    layers, _ = find_layers(model)
    for parameter in model.parameters():
        parameter.grad = 0.01 * torch.randn_like(parameter)
    initial = [layer.rows(layer.parameter).copy() for layer in layers]
    weights = sum(rows.size for rows in initial)
    read = torch.randn(4, weights, device=device)

    def snapshot(kind: type[DeviceSet]) -> Callable[[], Any]:
        chosen = kind(layers, initial, device)

        def run() -> object:
            chosen.gradients([layer.parameter.grad for layer in layers], range(len(layers)))
            chosen.weights([layer.parameter for layer in layers])
            return chosen.derive()

        return run

    ours, theirs, bare = "our kernels", "torch's own operations", "sum of w, g, w_prev, w_0"
    contestants: dict[str, Callable[[], Any]] = {bare: read.sum, theirs: snapshot(StackedSet)}
    try:
        contestants[ours] = snapshot(SegmentSet)
    except ImportError:
        print("Triton is not installed, so our kernels are not measured: pip install triton")
    times = in_turns(contestants, rounds)
    print(f"snapshot of {len(layers)} layers, {sum(map(len, initial)):,} filters, {weights:,} weights")
    print(f"{'':28}{'ms':>8}{'host ms':>9}{'of sum':>8}{'launches':>10}{'copies':>8}")
    for name, (milliseconds, host) in times.items():
        made = "{:>10}{:>8}".format(*launches(contestants[name]))
        end = f"   at most {SNAPSHOT} ms: {pairs.verdict(milliseconds <= SNAPSHOT)}" if name == ours else ""
        print(f"{name:28}{milliseconds:8.3f}{host:9.3f}{milliseconds / times[bare][0]:8.2f}{made}{end}")
    arrived = contestants[ours if ours in contestants else theirs]()
    torch.cuda.synchronize()
    arrived.finish()  # compiles
    began = time.perf_counter()
    arrived.finish()
    print(f"{'statistics, on the host':28}{'':8}{1000 * (time.perf_counter() - began):9.3f}\n", flush=True)


def training(device: torch.device, asked: argparse.Namespace, attach: Callable[..., Any]) -> Callable[[], None]:
    """A training that lives on; each call makes a block of steps."""
    torch.manual_seed(0)
    model = resnet50().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    x = torch.randn(asked.batch, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
    y = torch.randint(0, 1000, (asked.batch,), device=device)
    half = asked.precision == "bfloat16"
    after, count = attach(model, optimizer), 0

    def block() -> None:
        nonlocal count
        for _ in range(asked.steps):
            with torch.autocast("cuda", torch.bfloat16) if half else nullcontext():
                loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after(count, loss)
            count += 1
        torch.cuda.synchronize()

    return block


def steps(device: torch.device, asked: argparse.Namespace) -> None:
    """The training that records every step beside the plain one."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        recorders: list[Recorder] = []

        def attach(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[int, torch.Tensor], None]:
            recorder = Recorder(Path(folder) / "run", model, optimizer=optimizer, every=1, strict=True)
            recorders.append(recorder)
            return lambda step, loss: recorder.step(step, loss=loss)

        plain = training(device, asked, lambda *_: lambda step, loss: None)
        contestants = {"plain": plain, "recorded": training(device, asked, attach)}
        times = pairs.alternate(contestants, asked.pairs)
        recorders[0].close()
    ratios = pairs.ratios(times, "recorded", "plain")
    print(
        f"training, batch {asked.batch}, {asked.precision}: {asked.pairs} pairs of {asked.steps} steps, "
        f"{1000 * pairs.median(times, 'plain') / asked.steps:.1f} ms a plain one\n"
        f"every=1 over plain  {told(ratios)}   at most {STEP}: {pairs.verdict(statistics.median(ratios) <= STEP)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="snapshots of each kind (default 50)")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of blocks (default 20)")
    parser.add_argument("--steps", type=int, default=20, help="steps of a block (default 20)")
    parser.add_argument("--batch", type=int, default=128, help="images of a batch, 224 × 224 (default 128)")
    parser.add_argument("--precision", choices=["bfloat16", "float32"], default="bfloat16", help="of autocast")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: not measured")
        return
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda", torch.cuda.current_device())
    print(
        f"deeptracker {__version__}, torch {torch.__version__}; {torch.cuda.get_device_name(device)}; "
        f"{pairs.processor()}, {pairs.load()}\n"
    )
    snapshots(device, asked.rounds)
    steps(device, asked)


if __name__ == "__main__":
    main()
