"""Hostile input for every reader: files of others, metadata of runs, profiles, addresses.

A reader may succeed, or say in one clear line what is wrong. It may not crash, run anything, write elsewhere, or take
memory or time out of proportion.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from soak.figures import Figure

_A_SECOND = 120
"""So many inputs a second are counted on where a reader is given its time; those of runs take longer."""
_SLOW = 6
"""How much longer an input of a run takes than any other."""


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """Try about ``times`` inputs, half of them drawn, half guided; each reader in processes of its own."""
    from soak.hostile import drawn, guided

    names = list(drawn.CHANGES)
    weights = {name: 1 if name.startswith("run-") else _SLOW for name in names}
    tried: dict[str, int] = {}
    wrong: dict[str, list[str]] = {}
    for name in names:
        share = max(1, times // 2 * weights[name] // sum(weights.values()))
        place = folder / f"drawn-{name}"
        command = [sys.executable, "-m", "soak.hostile.drawn", name, "--times", str(share), "--seed", str(seed)]
        done = _run([*command, "--folder", str(place)])
        tried[name], wrong[name] = _outcome(name, done.stdout.splitlines()[-1:], done)
    figures = [_figure("hostile input, drawn (Hypothesis)", tried, wrong)]
    if not guided.is_here():
        lacks = Figure("hostile input, guided (atheris)", "0 inputs", "NOT RUN: atheris is missing", 0, "crashed")
        return [*figures, lacks]
    seconds = max(1, times // 2 // _A_SECOND // len(names))
    for name in names:
        place = folder / f"guided-{name}"
        done = _run(guided.command(name, seconds, seed, place))
        result = place / "result.json"
        tried[name], wrong[name] = _outcome(name, [result.read_text()] if result.is_file() else [], done)
    return [*figures, _figure("hostile input, guided (atheris)", tried, wrong)]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _outcome(name: str, lines: Iterable[str], done: subprocess.CompletedProcess[str]) -> tuple[int, list[str]]:
    """(inputs tried, what was wrong); a process that ended without a word was killed by an input."""
    for line in lines:
        found = json.loads(line)
        said = [f"{name}: {what} ({file})" for what, file in found["wrong"]]
        for one in said:
            print(one, file=sys.stderr)
        return found["tried"], said
    print(f"{name}: {done.stderr[-3000:]}", file=sys.stderr)
    return 0, [f"{name}: ended with {done.returncode}"]


def _figure(attack: str, tried: dict[str, int], wrong: dict[str, list[str]]) -> Figure:
    return Figure(
        attack, f"{sum(tried.values()):,} inputs", f"{len(tried)} readers", sum(map(len, wrong.values())), "crashed"
    )


__all__ = ["attack"]
