"""What recording costs a training on the processor: time with a recorder over time without, in paired blocks.

A block is one whole training, from the recorder's constructor to its ``close()``. In each round the bare training
and all others take turns; the ratios to the bare one give a median, which is printed with its 95% interval.

    python benchmarks/overhead.py                          # every=1, the two nets with a limit, 30 rounds each
    python benchmarks/overhead.py --nets short --columns 1 4 16 64 256 --peers --pairs 6
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

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


def told(ratios: Sequence[float]) -> str:
    """Median and interval."""
    low, high = interval(ratios)
    return f"{statistics.median(ratios):5.3f} [{low:5.3f}, {high:5.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=list(trainings.TRAININGS), default=list(LIMITS))
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
        contestants = {("", 0): partial(trainings.train, training, trainings.plain)}
        short = replace(training, steps=4)
        trainings.train(short, trainings.plain)
        for name, tool in tools.items():
            trainings.train(short, tool(1))  # compilation, imports, the first touch of memory
            for every in asked.columns:
                contestants[name, every] = partial(trainings.train, training, tool(every))
        times = pairs.alternate(contestants, asked.pairs, warm=True)
        bare = pairs.median(times, ("", 0)) / training.steps
        print(f"\n{training.name}: {asked.pairs} pairs of {training.steps} steps, {1000 * bare:.0f} ms a plain one")
        print(f"{'':14}{'every':>7}  {'wall ratio':^22}  {'CPU ratio':^22}")
        for name, every in list(contestants)[1:]:
            wall, cpu = (pairs.ratios(times, (name, every), ("", 0), cpu=cpu) for cpu in (False, True))
            verdict = ""
            if name == "DeepTracker" and every == 1 and key in LIMITS:
                met = pairs.verdict(max(map(statistics.median, (wall, cpu))) <= LIMITS[key])
                verdict = f"  at most {LIMITS[key]}: {met}"
            print(f"{name:14}{every:>7}  {told(wall):^22}  {told(cpu):^22}{verdict}", flush=True)


if __name__ == "__main__":
    main()
