"""Odd runs, drawn: NaN, Inf, huge and uneven iterations, strange names, clocks, classes; do the numbers stay right?

Each run combines several oddities of ``soak.oddities``, is recorded, analysed (some while they are recorded), shown,
exported and verified; every number is compared with plain NumPy and pandas over what was kept beside the recorder.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np

import deeptracker as dt
from deeptracker.errors import MissingGroupError
from soak.agreement import Compared
from soak.figures import Figure
from soak.oddities import ANSWERS, CLOCKS, LOSSES, SPOILS, Odd, record
from soak.way import problems

NAMES = ("a", "Ä", "A\u0308", "☃ 😀", "مرحبا", "x y", "%20", "q'\"", "<b>", "#?&=", "C", "c", "0", "x" * 120)
STARTS = (0, 0, 1, 2**24 - 3, 2**31 - 5, 2**32 - 2, 2**53 - 10**7)
GAPS = (1, 1, 1, 7, 1000, 10**5)


def draw(random: np.random.Generator) -> Odd:
    """A run with a handful of oddities."""

    def one(kinds: object, usual: float = 0.4) -> str:
        names = list(kinds)  # type: ignore[call-overload]
        return names[0] if random.random() < usual else str(random.choice(names))

    names = [str(name) for name in random.permutation(NAMES)]
    classes = int(random.integers(1, 5))
    images = int(random.choice([0, 1, 2, 7, 12, 30]))
    lowest = -1 if random.random() < 0.2 else 0
    count = int(random.choice([1, 2, 9, 17, 24, 40]))
    steps = int(random.choice(STARTS)) + np.cumsum(random.choice(random.choice(GAPS, 2), count))
    ids = {0: None, 1: tuple(range(2**62, 2**62 + images)), 2: tuple(f"{i}/ü\n" for i in range(images))}
    return Odd(
        steps=tuple(int(step) for step in steps),
        layers=(names[0], names[1]),
        filters=int(random.choice([1, 2, 5, 33])),
        spoil=one(SPOILS),
        losses=one(LOSSES),
        target=tuple(int(label) for label in random.integers(lowest, classes, images)),
        classes=tuple(names[2 : 2 + max(classes, 1)]),
        ids=ids[int(random.integers(0, 3))],
        answers=one(ANSWERS),
        each=int(random.choice([0, 1, 2, 5])),
        scalars={name: one(LOSSES, 0) for name in names[6 : 6 + int(random.integers(0, 4))]},
        clock=one(CLOCKS),
        every=int(random.choice([1, 1, 1, 3])),
    )


def _analysed(path: Path) -> None:
    """What goes on is analysed; the analysis after it then takes up what this one made."""
    try:
        dt.analyze(path)
    except MissingGroupError:  # nothing is recorded yet
        return


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """``times`` runs; what is wrong with any is printed with the seed that draws it again."""
    before, wrong = Compared.numbers, 0
    for number in range(times):
        odd = draw(np.random.default_rng([seed, number]))
        path = folder / f"rün {number} #%" / "run"
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # NumPy's, on numbers that nobody thought of
            truth = record(odd, path, number, (lambda p=path: _analysed(p)) if number % 4 == 2 else None)  # type: ignore[misc]
            found = problems(path, truth, folder / "out", thorough=number % 5 == 0)
        for problem in found:
            print(f"odd run {number} of seed {seed}: {problem}\n    {odd}", flush=True)
        wrong += bool(found)
        shutil.rmtree(path.parent)
    numbers = Compared.numbers - before
    return [Figure("odd runs, all the way", f"{times:,} runs", f"{numbers:,} numbers compared", wrong, "not right")]
