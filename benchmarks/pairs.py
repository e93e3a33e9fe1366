"""Times of contestants that take turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Times = dict[str, list[tuple[float, float]]]  # of each contestant and round: seconds, CPU seconds of all threads


def alternate(contestants: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Times of each, one a round, after a first call that is not timed; each round starts with another."""
    for run in contestants.values():
        run()
    times: Times = {name: [] for name in contestants}
    order = list(contestants)
    for number in range(rounds):
        shift = number % len(order)
        for name in order[shift:] + order[:shift]:
            began, began_cpu = time.perf_counter(), time.process_time()
            contestants[name]()
            times[name].append((time.perf_counter() - began, time.process_time() - began_cpu))
    return times


def best(times: Times, name: str) -> float:
    """Shortest time: what remains when nothing else disturbs."""
    return min(wall for wall, _ in times[name])


def median(times: Times, name: str) -> float:
    """Usual time."""
    return statistics.median(wall for wall, _ in times[name])


def ratio(times: Times, name: str, beside: str, *, cpu: bool = False) -> float:
    """Median over the rounds of one contestant's time over another's in the same round."""
    return statistics.median(a[cpu] / b[cpu] for a, b in zip(times[name], times[beside], strict=True))


def verdict(met: bool) -> str:
    """What stands beside a limit."""
    return "met" if met else "NOT MET"


def processor() -> str:
    """Name and number of the cores that this process may use."""
    name = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.exists():
        lines = described.read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def load() -> str:
    """How many processes wanted a core in the last minute; more than there are cores make times of a busy machine."""
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
