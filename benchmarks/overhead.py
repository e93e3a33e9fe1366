"""What recording costs a training on the processor: time with a recorder over time without, in paired blocks.

A block is one whole training, from the recorder's constructor to its ``close()``. In each round the bare training
and all others take turns; the ratios to the bare one give a median, which is printed with its 95% interval. A tool
that records every so many steps trains for at least as many, beside a bare training of the same length.

    python benchmarks/overhead.py                          # every=1, the two nets with a limit, 30 rounds each
    python benchmarks/overhead.py --nets 3c3d --columns 1 4 16 64 256 --peers  # half an hour
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pairs
import torch
import trainings

from deeptracker import __version__

Tool = Callable[
    [int], Callable[..., AbstractContextManager[trainings.Hook]]
]  # of every so many steps, what attaches it

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
    tools: dict[str, Tool] = {"DeepTracker": trainings.deeptracker}
    if asked.peers:
        tools |= {"TensorBoard": trainings.tensorboard, "W&B offline": trainings.wandb}
    for key in asked.nets:
        compare(key, tools, asked.columns, asked.pairs)


def compare(key: str, tools: Mapping[str, Tool], columns: Sequence[int], rounds: int) -> None:
    """Print the ratios of one net: a row a tool and column."""
    trainable = trainings.TRAININGS[key]
    warming = replace(trainable, steps=4)
    for attach in (trainings.plain, *(tool(1) for tool in tools.values())):
        trainings.train(warming, attach)  # compilation, imports, the first touch of memory
    lasting = {every: replace(trainable, steps=max(trainable.steps, every)) for every in columns}
    bare = {training.steps: partial(trainings.train, training, trainings.plain) for training in lasting.values()}
    recorded = {
        (name, every): partial(trainings.train, training, tool(every))
        for name, tool in tools.items()
        for every, training in lasting.items()
    }
    times = pairs.alternate({("", steps): train for steps, train in bare.items()} | recorded, rounds, warm=True)
    lengths = ", ".join(
        f"{steps} steps of {1000 * pairs.median(times, ('', steps)) / steps:.0f} ms" for steps in bare
    )
    print(f"\n{trainable.name}: {rounds} pairs; a plain training has {lengths}")
    print(f"{'':14}{'every':>7}  {'wall ratio':^22}  {'CPU ratio':^22}")
    for name, every in recorded:
        beside = ("", lasting[every].steps)
        wall, cpu = (pairs.ratios(times, (name, every), beside, cpu=cpu) for cpu in (False, True))
        verdict = ""
        if name == "DeepTracker" and every == 1 and key in LIMITS:
            met = pairs.verdict(max(map(statistics.median, (wall, cpu))) <= LIMITS[key])
            verdict = f"  at most {LIMITS[key]}: {met}"
        print(f"{name:14}{every:>7}  {told(wall):^22}  {told(cpu):^22}{verdict}", flush=True)


if __name__ == "__main__":
    main()
