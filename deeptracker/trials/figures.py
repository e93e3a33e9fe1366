"""The figures of a bench: recall, places, causes and false alarms, with intervals over base trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deeptracker.trials.baselines import Heights
from deeptracker.trials.effect import Effect
from deeptracker.trials.judge import CAUSES, RECORDS, judge
from deeptracker.trials.settings import SETTINGS, VALIDATE_EVERY

BUDGET = 0.5  # false alarms per 1,000 iterations
CALIBRATED = 300  # records before which nothing is an alarm
LARGE = 3.0
LAYERED, CLASSED, FILTERED = (
    ("dead-filters", "frozen-layer", "weight-decay"), ("label-flip", "class-withheld", "validation-images"),
    ("dead-filters",),
)  # fmt: skip
_DRAWS = 2_000

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Share:
    """A share or mean, its 95% interval over base trainings, and of how many forks it is."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if not self.count:
            return "–"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] of {self.count}"


class Figures:
    """Figures of finished results.

    Parameters
    ----------
    results : as ``Bench.results`` gives them.
    out : their folder, for the heights of the baselines.
    """

    def __init__(self, results: Sequence[Result], out: Path) -> None:
        self._out = out
        self.clean = [one for one in results if one["base"] is None]
        self.twins = [one for one in results if one["base"] is not None and one["effect"] is None]
        self.forks = [one for one in results if one["effect"] is not None]
        self.settings = [name for name in SETTINGS if any(one["setting"] == name for one in results)]

    # What an analysis got right

    def faults(self, setting: str | None = None, least: float = LARGE) -> list[Result]:
        """Forks whose fault had an effect above ``least``; controls are none."""
        return [
            one for one in self._of(self.forks, setting)
            if one["effect"]["onset"] is not None and one["effect"]["size"] > least
            and CAUSES[one["truth"]["fault"]] != "none"
        ]  # fmt: skip

    def recall(self, among: Iterable[Result], k: int) -> Share:
        """Share of faults that one of the first ``k`` events hits."""
        return _share(among, lambda one: float(0 < (one["verdict"]["place"] or 0) <= k))

    def layer(self, among: Iterable[Result], k: int = 1) -> Share:
        """Share of faults of a layer whose event names it among its first ``k``."""
        mine = [one for one in among if one["truth"]["fault"] in LAYERED]
        return _share(mine, lambda one: float(0 < (one["verdict"]["layer"] or 0) <= k))

    def class_(self, among: Iterable[Result], k: int = 1) -> Share:
        """Share of faults of a class whose event names it among its first ``k``."""
        mine = [one for one in among if one["truth"]["fault"] in CLASSED]
        return _share(mine, lambda one: float(0 < (one["verdict"]["class_"] or 0) <= k))

    def class_planted(self, among: Iterable[Result]) -> Share:
        """Class@1 once more, a withheld class dated by when it was withheld instead of by its first effect.

        Batches lack it at once; weights and answers show it some records later, so an event that is dated by what the
        batches held hits no effect. It is no figure of ours; it tells how much of class@1 is lost to that.
        """
        mine = []
        for one in among:
            if one["truth"]["fault"] == "class-withheld":
                planted = Effect(int(one["truth"]["iteration"]), one["effect"]["size"], "records")
                one = {**one, "verdict": asdict(judge(one["truth"], planted, one["events"]))}
            mine.append(one)
        return self.class_(mine)

    def precision(self, among: Iterable[Result]) -> Share:
        """Mean average precision of hurt filters."""
        mine = [one for one in among if one["truth"]["fault"] in FILTERED]
        return _share(mine, lambda one: float(one["verdict"]["precision"] or 0))

    def causes(self, setting: str | None = None) -> float:
        """Macro-F1 of the causes, ``none`` and ``unknown`` among them; clean runs and controls count as none."""
        pairs = [(CAUSES[one["truth"]["fault"]], one["verdict"]["cause"]) for one in self.faults(setting)]
        quiet = [one for one in self._of(self.forks, setting) if CAUSES[one["truth"]["fault"]] == "none"]
        for one in [*self._of(self.clean, setting), *quiet]:
            pairs.append(("none", one["events"][0]["cause"] if one["events"] else "none"))
        scores = []
        for cause in sorted({right for right, _ in pairs}):
            both = sum(right == cause == found for right, found in pairs)
            named = sum(found == cause for _, found in pairs)
            there = sum(right == cause for right, _ in pairs)
            scores.append(2 * both / (named + there))
        return float(np.mean(scores)) if scores else float("nan")

    # False alarms

    def false_alarms(self, setting: str | None = None) -> tuple[int, int]:
        """Events of clean runs, and iterations at which there could have been one."""
        mine = self._of(self.clean, setting)
        return sum(len(one["events"]) for one in mine), sum(one["records"] - CALIBRATED for one in mine)

    def rate(self, setting: str | None = None) -> str:
        """False alarms per 1,000 iterations, with the 95% limit above of a Poisson rate."""
        found, iterations = self.false_alarms(setting)
        if not iterations:
            return "–"
        return f"{1000 * found / iterations:.2f}, at most {1000 * _above(found) / iterations:.2f} ({found})"

    # Beside others

    def against(self, setting: str | None = None) -> dict[str, tuple[Share, Share, Share]]:
        """Baseline → its recall@1 and @5 at the same budget, and ours less its, @1, of the same forks."""
        among = self.faults(setting)
        if not among or not self.clean:
            return {}
        places = {name: [one["without"][name]["place"] or 0 for one in among] for name in among[0].get("without", {})}
        for name in self._heights(among[0]):
            levels = {of: self._level(name, of) for of in {one["setting"] for one in among}}
            places[name] = [self._place(one, name, levels[one["setting"]]) for one in among]
        out = {}
        for name, theirs in places.items():
            first = [float(place == 1) for place in theirs]
            less = [float(one["verdict"]["place"] == 1) - own for one, own in zip(among, first, strict=True)]
            five = [float(0 < place <= 5) for place in theirs]
            out[name] = (_mean(among, first), _mean(among, five), _mean(among, less))
        return out

    def _place(self, one: Result, name: str, level: float) -> int:
        """Rank of the baseline's alarm that hits; 0: none."""
        heights = self._heights(one)[name]
        allowed = VALIDATE_EVERY if len(heights.steps) < one["records"] else RECORDS
        onset = one["effect"]["onset"]
        alarms = heights.alarms(level, one["first"])
        return next((n for n, (step, _, _) in enumerate(alarms, 1) if abs(step - onset) <= allowed), 0)

    def _level(self, name: str, setting: str) -> float:
        """The lowest height at which the clean runs raise at most the budget of alarms."""
        runs = [self._heights(one)[name] for one in self._of(self.clean, setting)]
        allowed = BUDGET * self.false_alarms(setting)[1] / 1000
        every = np.unique(np.concatenate([run.heights[run.steps >= CALIBRATED] for run in runs]))
        low, high = 0, len(every)  # the number of alarms falls as the level rises, but for stretches that part
        while low < high:
            middle = (low + high) // 2
            if sum(len(run.alarms(every[middle], CALIBRATED)) for run in runs) > allowed:
                low = middle + 1
            else:
                high = middle
        return float(every[low] if low < len(every) else np.nextafter(every[-1], np.inf))

    def _heights(self, one: Result) -> dict[str, Heights]:
        path = self._out / one["setting"] / f"{one['name']}.heights.npz"
        with np.load(path) as arrays:
            names = dict.fromkeys(key.rpartition("/")[0] for key in arrays)
            return {
                name: Heights(*(arrays[f"{name}/{field}"] for field in ("steps", "heights", "places")))
                for name in names
            }

    @staticmethod
    def _of(among: Iterable[Result], setting: str | None) -> list[Result]:
        return [one for one in among if setting is None or one["setting"] == setting]


def _share(among: Iterable[Result], of: Callable[[Result], float]) -> Share:
    among = list(among)
    return _mean(among, [of(one) for one in among])


def _mean(among: Sequence[Result], values: Sequence[float]) -> Share:
    """Mean with a percentile bootstrap: base trainings are drawn, with all their forks."""
    if not among:
        return Share(float("nan"), float("nan"), float("nan"), 0)
    bases, of_base = np.unique([f"{one['setting']}-{one['base']}" for one in among], return_inverse=True)
    sums, counts = np.bincount(of_base, values), np.bincount(of_base)
    drawn = np.random.default_rng(0).integers(len(bases), size=(_DRAWS, len(bases)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Share(float(np.mean(values)), float(low), float(high), len(values))


def _above(found: int) -> float:
    """Upper 95% limit (one-sided) of a Poisson mean of which ``found`` were counted."""
    low, high = 0.0, 10.0 + 4 * found
    for _ in range(60):
        mean = (low + high) / 2
        terms = np.cumprod([1.0, *(mean / n for n in range(1, found + 1))])
        if np.exp(-mean) * float(terms.sum()) > 0.05:
            low = mean
        else:
            high = mean
    return high


__all__ = ["BUDGET", "LARGE", "Figures", "Share"]
