"""Times of contestants that take turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
Times = dict[Name, list[tuple[float, float]]]  # of each contestant and round: seconds, CPU seconds of all threads


def alternate(contestants: Mapping[Name, Callable[[], object]], rounds: int, *, warm: bool = False) -> Times[Name]:
    """Times of each, one a round, after a first call that is not timed (unless all is ``warm``).

    Each round starts with another.
    """
    for run in contestants.values() if not warm else ():
        run()
    times: Times[Name] = {name: [] for name in contestants}
    order = list(contestants)
    for number in range(rounds):
        shift = number % len(order)
        for name in order[shift:] + order[:shift]:
            began, began_cpu = time.perf_counter(), time.process_time()
            contestants[name]()
            times[name].append((time.perf_counter() - began, time.process_time() - began_cpu))
    return times


def best(times: Times[Name], name: Name) -> float:
    """Shortest time: what remains when nothing else disturbs."""
    return min(wall for wall, _ in times[name])


def median(times: Times[Name], name: Name) -> float:
    """Usual time."""
    return statistics.median(wall for wall, _ in times[name])


def ratios(times: Times[Name], name: Name, beside: Name, *, cpu: bool = False) -> list[float]:
    """One contestant's time over another's in the same round, of all rounds."""
    return [a[cpu] / b[cpu] for a, b in zip(times[name], times[beside], strict=True)]


def ratio(times: Times[Name], name: Name, beside: Name, *, cpu: bool = False) -> float:
    """Median of ``ratios``."""
    return statistics.median(ratios(times, name, beside, cpu=cpu))


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
