"""What recording costs a training on the processor: time with a recorder over time without, in paired blocks.

A block is one whole training, from the recorder's constructor to its ``close()``. Blocks with and without it take
turns; each pair gives a ratio, and the median of the ratios is printed with its 95% interval.

    python benchmarks/overhead.py                          # every=1, both nets, at least 30 pairs each
    python benchmarks/overhead.py --columns 1 4 16 64 256 --peers --pairs 10
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence

import pairs
import torch
import trainings

from deeptracker import __version__

LIMITS = {"resnet20": 1.05, "linear": 1.5}


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """95% interval of the median from order statistics (the number below it is binomial)."""
    ordered, n = sorted(ratios), len(ratios)
    tail, k = 0.0, 0
    while k < n and (tail := tail + math.comb(n, k) / 2**n) <= 0.025:
        k += 1
    return ordered[max(k - 1, 0)], ordered[min(n - k, n - 1)]


def compare(training: trainings.Training, attach: Callable[..., object], pairs: int) -> list[tuple[float, float]]:
    """Ratios of wall and of CPU seconds, with over without, one a pair; who goes first alternates."""
    out = []
    for number in range(pairs):
        times = {}
        for which in (attach, trainings.plain) if number % 2 else (trainings.plain, attach):
            times[which] = trainings.train(training, which)
        (wall, cpu), (bare_wall, bare_cpu) = times[attach], times[trainings.plain]
        out.append((wall / bare_wall, cpu / bare_cpu))
    return out


def told(ratios: Sequence[float]) -> str:
    """Median and interval."""
    low, high = interval(ratios)
    return f"{statistics.median(ratios):5.3f} [{low:5.3f}, {high:5.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=list(trainings.TRAININGS), default=list(trainings.TRAININGS))
    parser.add_argument("--columns", nargs="+", type=int, default=[1], help="record every so many steps")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--peers", action="store_true", help="TensorBoard and W&B (offline) beside it")
    asked = parser.parse_args()
    torch.set_num_threads(2)
    print(f"deeptracker {__version__}, torch {torch.__version__} on 2 threads; {pairs.processor()}, {pairs.load()}")
    tools: dict[str, Callable[[int], Callable[..., object]]] = {"DeepTracker": trainings.deeptracker}
    if asked.peers:
        tools |= {"TensorBoard": trainings.tensorboard, "W&B offline": trainings.wandb}
    for key in asked.nets:
        training = trainings.TRAININGS[key]
        for tool in tools.values():
            trainings.train(training, tool(1))  # compilation, imports, the first touch of memory
        bare = trainings.train(training, trainings.plain)[0]
        steps = f"{asked.pairs} pairs of {training.steps} steps, {1000 * bare / training.steps:.0f} ms a plain one"
        print(f"\n{training.name}: {steps}")
        print(f"{'':14}{'every':>7}  {'wall ratio':^22}  {'CPU ratio':^22}")
        for name, tool in tools.items():
            for every in asked.columns:
                ratios = compare(training, tool(every), asked.pairs)
                wall, cpu = ([pair[i] for pair in ratios] for i in (0, 1))
                verdict = ""
                if name == "DeepTracker" and every == 1:
                    met = pairs.verdict(max(map(statistics.median, (wall, cpu))) <= LIMITS[key])
                    verdict = f"  at most {LIMITS[key]}: {met}"
                print(f"{name:14}{every:>7}  {told(wall):^22}  {told(cpu):^22}{verdict}", flush=True)


if __name__ == "__main__":
    main()
