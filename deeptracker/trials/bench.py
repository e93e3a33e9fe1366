"""Trains, forks, plants, analyses and judges; whatever is finished stays, so that it can be stopped and resumed."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deeptracker.detect import detect
from deeptracker.store import Run, open_run
from deeptracker.testing.faults import Fault, control, plant
from deeptracker.trials.baselines import baselines
from deeptracker.trials.course import Course
from deeptracker.trials.effect import Effect, Measured, effect_of, measure
from deeptracker.trials.images import images_of
from deeptracker.trials.judge import CAUSES, judge
from deeptracker.trials.settings import SETTINGS, Setting

TWINS = 5
WITHOUT = {"ours without filters": ("filters", "layers"), "ours without images": ("validation",)}
FIRST_ORDER = 1_000  # twins' orders count from here, those of the base trainings are their seeds
_MEASURED = "iteration", "validation", "records", "passes"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is trained.

    Parameters
    ----------
    settings : names of ``SETTINGS``.
    bases : base trainings of each; seeds ``first_seed``, ``first_seed`` + 1, ….
    repeats : forks of each kind of fault and base.
    clean : clean trainings of each setting, of ``clean_steps`` steps.
    kinds : kinds of faults; empty: all that a setting can have.
    base_steps : steps before the fork. Levels are found on the first 300 records.
    fork_steps : steps after it; the fault begins 20 to 100 steps after the fork.
    images : folder of CIFAR-10; empty: the demo's digits.
    """

    settings: tuple[str, ...] = tuple(SETTINGS)
    bases: int = 5
    repeats: int = 2
    clean: int = 20
    kinds: tuple[str, ...] = ()
    first_seed: int = 20_000
    base_steps: int = 420
    fork_steps: int = 240
    clean_steps: int = 960
    images: str = ""

    def units(self) -> Iterator[tuple[str, str, int]]:
        """(setting, "base" or "clean", seed), in turn, so that a part of the work says something of each setting."""
        for number in range(max(self.bases, self.clean)):
            for name in self.settings:
                if number < self.bases:
                    yield name, "base", self.first_seed + number
                if number < self.clean:
                    yield name, "clean", self.first_seed + 500 + number


class Bench:
    """Everything of a plan.

    Parameters
    ----------
    out : folder of the results; those that are there are not made again.
    """

    def __init__(self, plan: Plan, out: Path) -> None:
        self.plan, self.out = plan, out

    def run(self, processes: int) -> None:
        """Do what is missing, in so many processes of one thread each; each says a line a result."""
        images_of(self.plan.images)  # what is wrong with them is better said once, and here
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "plan.json").write_text(json.dumps(dataclasses.asdict(self.plan), indent=1) + "\n")
        with multiprocessing.get_context("spawn").Pool(processes, _start) as pool:
            for _ in pool.imap_unordered(self._unit, self.plan.units(), chunksize=1):
                pass

    def results(self) -> list[dict[str, Any]]:
        """All that are finished; ``name`` is that of their file."""
        return [json.loads(path.read_text()) | {"name": path.stem} for path in sorted(self.out.glob("*/*.json"))]

    def _unit(self, unit: tuple[str, str, int]) -> None:
        name, what, seed = unit
        setting = SETTINGS[name]
        (self.out / name).mkdir(exist_ok=True)
        if what == "clean":
            self._clean(setting, seed)
        else:
            _Forks(self.plan, self.out / name, setting, seed).run()

    def _clean(self, setting: Setting, seed: int) -> None:
        """A clean training under one of the setting's schedules; every second one is resumed on the way."""
        out = self.out / setting.name / f"clean-{seed}.json"
        if out.exists():
            return
        began, path = time.perf_counter(), out.with_suffix("")
        shutil.rmtree(path, ignore_errors=True)
        rate = setting.clean[seed % len(setting.clean)]
        none = plant("none", seed, (0, 1), setting.ground)
        stops = [self.plan.clean_steps]
        if seed % 2:
            stops.insert(0, int(np.random.default_rng(seed).integers(300, self.plan.clean_steps - 60)))
        kept = out.with_suffix(".pt")
        for number, stop in enumerate(stops):
            course = Course(setting, seed, images_of(self.plan.images))
            if number:
                course.load(kept)
            course.run(path, stop, order=seed, rate=rate, fault=none)
            course.save(kept)
        kept.unlink()
        truth = none.truth.to_json() | {"resumed": stops[0] if len(stops) > 1 else None}
        _conclude(
            out, path, {"setting": setting.name, "base": None, "truth": truth, "effect": None, "first": 0}, began
        )


class _Forks:
    """A base training, its twins, and its forks with faults."""

    def __init__(self, plan: Plan, out: Path, setting: Setting, seed: int) -> None:
        self._plan, self._out, self._setting, self._seed = plan, out, setting, seed
        self._first, self._until = plan.base_steps, plan.base_steps + plan.fork_steps
        self._base, self._kept = out / f"base-{seed}", out / f"base-{seed}.pt"

    def run(self) -> None:
        kinds = self._plan.kinds or self._setting.kinds
        todo = [
            (kind, number)
            for number in range(self._plan.repeats)
            for kind in kinds
            if kind != "none" and not self._result(kind, number).exists()
        ]
        if not todo and all(self._twin_path(number).exists() for number in range(TWINS)):
            return
        self._train_base()
        twins = [self._twin(number) for number in range(TWINS)]
        for kind, number in todo:
            self._fork(kind, number, twins)
        shutil.rmtree(self._base)
        self._kept.unlink()

    def _result(self, kind: str, number: int) -> Path:
        return self._out / f"{kind}-{self._seed}-{number}.json"

    def _twin_path(self, number: int) -> Path:
        return self._out / f"twin-{self._seed}-{number}.measured.npz"

    def _train_base(self) -> None:
        if self._kept.exists():
            return
        shutil.rmtree(self._base, ignore_errors=True)
        course = Course(self._setting, self._seed, images_of(self._plan.images))
        none = plant("none", self._seed, (0, 1), self._setting.ground)
        course.run(self._base, self._first, order=self._seed, rate=self._setting.rate, fault=none)
        course.save(self._kept)

    def _train_on(self, path: Path, order: int, fault: Any) -> Run:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self._base, path)
        course = Course(self._setting, self._seed, images_of(self._plan.images))
        course.load(self._kept)
        course.run(path, self._until, order=FIRST_ORDER + order, rate=self._setting.rate, fault=fault)
        return open_run(path)

    def _measured(self, path: Path, order: int, fault: Fault) -> Measured:
        """What a fork did whose run is not needed any longer."""
        measured = measure(self._train_on(path, order, fault), self._first)
        shutil.rmtree(path)
        return measured

    def _twin(self, number: int) -> Measured:
        """Measured, and judged like any clean run."""
        kept, out = self._twin_path(number), self._out / f"twin-{self._seed}-{number}.json"
        if kept.exists():
            with np.load(kept) as arrays:
                return Measured(**{name: arrays[name] for name in _MEASURED})
        began, path = time.perf_counter(), out.with_suffix("")
        none = plant("none", self._seed, (0, 1), self._setting.ground)
        measured = measure(self._train_on(path, number, none), self._first)
        truth = none.truth.to_json()
        told = {"setting": self._setting.name, "base": self._seed, "truth": truth, "effect": None,
                "first": self._first}  # fmt: skip
        _conclude(out, path, told, began)
        np.savez_compressed(kept, **{name: getattr(measured, name) for name in _MEASURED})
        return measured

    def _fork(self, kind: str, number: int, twins: list[Measured]) -> None:
        began, out = time.perf_counter(), self._result(kind, number)
        path, order = out.with_suffix(""), number % TWINS
        window = (self._first + 20, self._first + 100)
        fault = plant(kind, 100 * self._seed + number, window, self._setting.ground)
        alone = control(fault, window)
        # What is done on purpose is no effect: the twin does it, too.
        twin = twins[order] if alone is None else self._measured(path.with_name(f"{path.name}-alone"), order, alone)
        run = self._train_on(path, order, fault)
        effect = effect_of(measure(run, self._first), twin, twins)
        told = {"setting": self._setting.name, "base": self._seed, "truth": fault.truth.to_json(),
                "effect": effect.to_json(), "first": self._first}  # fmt: skip
        _conclude(out, path, told, began, effect)


def _conclude(out: Path, path: Path, told: dict[str, Any], began: float, effect: Effect | None = None) -> None:
    """Analyse, judge, keep the result and the heights of the baselines, and remove the run."""
    from deeptracker.analysis import analyze

    run = analyze(path)
    events = [event for event in run.event_documents() if event["kind"] == "anomaly"]
    mine = [event for event in events if event["iteration"] >= told["first"]]
    verdict = judge(told["truth"], effect, mine)
    heights = baselines(run)
    np.savez_compressed(
        out.with_suffix(".heights.npz"),
        **{f"{name}/{field}": getattr(of, field) for name, of in heights.items()
           for field in ("steps", "heights", "places")},
    )  # fmt: skip
    result = told | {
        "verdict": dataclasses.asdict(verdict),
        "without": {name: _without(run, groups, told, effect) for name, groups in WITHOUT.items()},
        "events": [{name: _short(event[name]) for name in _KEPT} for event in mine],
        "records": int(run.dataset("scalars").sizes["iteration"]),
        "seconds": round(time.perf_counter() - began, 1),
    }
    aside = out.with_suffix(".partial")
    aside.write_text(json.dumps(result, indent=1) + "\n")
    aside.rename(out)
    shutil.rmtree(path)
    print(_line(result), flush=True)


def _without(run: Run, rooms: tuple[str, ...], told: dict[str, Any], effect: Effect | None) -> dict[str, Any]:
    """Verdict of an analysis of the run without some of its groups; it takes the place of the one before."""
    groups = {path: rows for path, rows in run.commit.groups.items() if path.partition("/")[0] not in rooms}
    found = detect(dataclasses.replace(run, commit=dataclasses.replace(run.commit, groups=groups)))
    events = [event for event in found.event_documents() if event["kind"] == "anomaly"]
    return dataclasses.asdict(judge(told["truth"], effect, [e for e in events if e["iteration"] >= told["first"]]))


def _short(value: Any) -> Any:
    """The first of many; of evidence its words."""
    some = value[:12] if isinstance(value, list) else value
    return [one["text"] if isinstance(one, dict) else one for one in some] if isinstance(some, list) else some


_KEPT = ("iteration", "known_at", "end", "cause", "layers", "classes", "false_per_1000", "evidence")


def _line(result: dict[str, Any]) -> str:
    truth, effect, verdict = result["truth"], result["effect"], result["verdict"]
    if effect is None:
        said = f"clean, {verdict['others']} false"
    elif CAUSES[truth["fault"]] == "none":
        said = f"control, {verdict['others'] + bool(verdict['place'])} events"
    elif effect["onset"] is None:
        said = f"masked ({effect['size']:.1f}), {verdict['others']} false"
    else:
        place = f"found, rank {verdict['place']}, {verdict['cause']}" if verdict["place"] else "MISSED"
        said = f"{effect['severity']} at {effect['onset']} (planted {truth['iteration']}), {place}"
        said += f", {verdict['others']} false" * bool(verdict["others"])
    return f"{result['setting']:9} {truth['fault']:17} {truth['seed']:8} {result['seconds']:5.1f} s  {said}"


def _start() -> None:
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a recording says a line whenever it ends


__all__ = ["TWINS", "Bench", "Plan"]
