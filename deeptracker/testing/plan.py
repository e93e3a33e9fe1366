"""When and where a simulated run goes wrong: drawn from the seed, told to the caller, never stored in the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deeptracker.testing.evolution import Shock
from deeptracker.testing.networks import Layer


@dataclass
class Plan:
    """Schedule of learning rates, passes and anomalies of one simulated run."""

    records: npt.NDArray[np.int64]
    passes: npt.NDArray[np.int64]
    iterations: int
    shocks: dict[int, list[Shock]] = field(default_factory=dict)
    drops: dict[int, list[int]] = field(default_factory=dict)
    truth: list[dict[str, Any]] = field(default_factory=list)

    def learning_rate(self, iteration: int) -> float:
        """0.1 after a linear warm-up over 2% of the run; a tenth of it at one half, again at three quarters."""
        warm = max(1, self.iterations // 50)
        drops = sum(iteration >= at for at in self.rate_drops)
        return 0.1 * min(1.0, (iteration + 1) / warm) * 0.1**drops

    @property
    def rate_drops(self) -> tuple[int, int]:
        """Iterations at which the learning rate falls to a tenth."""
        return self.iterations // 2, self.iterations * 3 // 4


def schedule(iterations: int, passes: int, every: int) -> Plan:
    """Records at every ``every``-th iteration, passes evenly spread up to the last iteration; no anomalies."""
    records = np.arange(0, iterations, every, dtype=np.int64)
    at = np.unique(np.linspace(0, iterations - 1, passes + 1).round().astype(np.int64)[1:]) if passes else records[:0]
    return Plan(records, at, iterations)


def plant(plan: Plan, layers: list[Layer], *, classes: int, rng: np.random.Generator) -> None:
    """Draw anomalies between one fifth and 95% of the run, away from learning-rate drops; about one per 300 records.

    In turn: a few filters of one layer jump, and one class loses answers at the next pass; a bad batch shakes all
    layers at one record; a class drops without anything in the weights.
    """
    usable = [
        k
        for k, at in enumerate(plan.records)
        if 0.2 < at / plan.iterations < 0.95
        and all(abs(at - drop) > plan.iterations / 40 for drop in plan.rate_drops)
    ]
    if not usable:
        return
    first = np.concatenate([[0], np.cumsum([layer.filters for layer in layers])]).astype(int)
    count = int(np.clip(len(plan.records) // 300, 3, 24))
    picked = np.sort(rng.choice(usable, min(count, len(usable)), replace=False))
    normalised = [number for number, layer in enumerate(layers) if not layer.linear and number > 0]
    for turn, record in enumerate(picked.tolist()):
        at = int(plan.records[record])
        next_pass = int(np.searchsorted(plan.passes, at))
        kind = ("filters", "bad-batch", "class")[turn % 3]
        entry: dict[str, Any] = {"kind": kind, "iteration": at}
        if kind == "filters":
            number = int(rng.choice(normalised))
            size = int(np.clip(layers[number].filters // 8, 2, 12))
            channels = np.sort(rng.choice(layers[number].filters, size, replace=False))
            filters = (first[number] + channels).astype(np.intp)
            plan.shocks.setdefault(record, []).append(Shock(filters, gradient=8.0, shift=-1.5))
            entry |= {"layer": layers[number].name, "channels": channels.tolist(), "filters": filters.tolist()}
        elif kind == "bad-batch":
            everything = np.arange(first[-1], dtype=np.intp)
            plan.shocks.setdefault(record, []).append(Shock(everything, gradient=4.0))
            entry |= {"layers": [layer.name for layer in layers]}
        if kind != "bad-batch" and classes and next_pass < len(plan.passes):
            hit = int(rng.integers(classes))
            for later in range(next_pass, min(next_pass + 2, len(plan.passes))):
                plan.drops.setdefault(later, []).append(hit)
            entry |= {"class": hit, "pass": int(plan.passes[next_pass])}
        plan.truth.append(entry)
