"""The main job on real images: train a small residual network with a planted fault, record, analyse, report."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deeptracker.errors import InputError
from deeptracker.testing.faults import FAULTS, Truth

if TYPE_CHECKING:
    from rich.console import Console

    from deeptracker.store import Run


@dataclass(frozen=True, slots=True)
class Demo:
    """What came out: the run, where the truth and the report lie, and how the training ended."""

    run: Run
    truth: Truth
    truth_path: Path
    report_path: Path | None
    validation_error: float
    seconds: dict[str, float]


def truth_path(out: Path) -> Path:
    """Where the truth of a demo lies: beside the run, never in it."""
    return out.with_name(f"{out.name}-truth.json")


def run_demo(
    *,
    fault: str = "dead-filters",
    seed: int | None = None,
    out: str | Path = "runs/demo",
    report: bool = True,
    console: Console | None = None,
) -> Demo:
    """Train, record every iteration, analyse, and write the report.

    Parameters
    ----------
    fault : one of ``deeptracker.testing.faults.FAULTS``; its time, place and strength are drawn from the seed.
    seed : of the fault, the weights and the order of the images; by default the clock.
    out : folder of the run; an earlier demo there is replaced. The truth goes to ``<out>-truth.json``, which the
        analysis never reads.
    report : write ``<out>/report.html``.
    console : where to show progress.

    Raises
    ------
    InputError : an unknown fault, a seed that is none, or ``out`` holds something that no demo wrote.
    """
    if fault not in FAULTS:
        raise InputError(f"fault {fault!r} is unknown: choose one of {', '.join(FAULTS)}")
    if seed is not None and not 0 <= seed < 2**63:
        raise InputError(f"seed {seed} is no whole number from 0 to 2^63 − 1")
    path = Path(out)
    truth_file = truth_path(path)
    if path.exists():
        if not truth_file.exists():
            raise InputError(f"{path} exists and was not made by a demo: choose another --out")
        shutil.rmtree(path)
    seed = int(time.time()) % 1_000_000 if seed is None else seed
    if console is not None:
        console.print(
            f"[bold]DeepTracker demo[/]  fault [bold]{fault}[/], seed [bold]{seed}[/], into [bold]{path}[/]"
        )
    seconds: dict[str, float] = {}
    began = time.perf_counter()
    truth, error = _train(path, fault, seed, console)
    truth_file.write_text(json.dumps(truth.to_json(), indent=2) + "\n")
    seconds["train and record"] = time.perf_counter() - began
    began = time.perf_counter()
    run = _analyze(path, console)
    seconds["analyse"] = time.perf_counter() - began
    report_file = None
    if report:
        from deeptracker.export import report as write_report

        began = time.perf_counter()
        report_file = path / "report.html"
        write_report(run, report_file)
        seconds["report"] = time.perf_counter() - began
    return Demo(run, truth, truth_file, report_file, error, seconds)


def _train(path: Path, fault: str, seed: int, console: Console | None) -> tuple[Truth, float]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from deeptracker.demo.training import train

    if console is None:
        return train(path, fault=fault, seed=seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("train and record", total=None)
        return train(
            path,
            fault=fault,
            seed=seed,
            progress=lambda done, total, loss: bar.update(
                task, completed=done, total=total, description=f"train and record, loss {loss:.3f}"
            ),
        )


def _analyze(path: Path, console: Console | None) -> Run:
    from rich.progress import BarColumn, Progress, TextColumn

    from deeptracker.analysis import analyze

    if console is None:
        return analyze(path)
    with Progress(TextColumn("{task.description}"), BarColumn(), console=console, transient=True) as bar:
        task = bar.add_task("analyse", total=1.0)
        return analyze(path, progress=lambda what, share: bar.update(task, completed=share, description=what))


__all__ = ["Demo", "run_demo", "truth_path"]
