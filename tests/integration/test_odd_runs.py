"""Odd runs go the whole way: recorded, analysed, shown, exported, verified, and right by plain NumPy and pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from soak.figures import Figure
from soak.odd import attack
from soak.oddities import Odd, record
from soak.way import problems

PAST_INT32 = 2**31
EXACT = 2**53  # past it a float64 has no odd numbers
CATALOGUE = {
    "filter NaN, loss NaN at times, clock backwards": Odd(
        spoil="one filter NaN", losses="NaN at times", clock="backwards", answers="NaN at times"
    ),
    "one weight −Inf among many filters, loss infinite at times": Odd(
        filters=40, spoil="one weight −Inf", losses="Inf at times", answers="none at times", clock="back an hour"
    ),
    "everything infinite, loss infinite for ever": Odd(spoil="all weights Inf", losses="Inf for ever"),
    "everything NaN, and NaN for ever": Odd(
        spoil="all weights NaN", losses="NaN for ever", answers="none at all", clock="stands still"
    ),
    "weights of 1e30, losses of 1e300": Odd(spoil="weights 1e30", losses="huge", clock="years ahead"),
    "weights zero, losses of 5e-324, before 1970": Odd(
        spoil="all weights zero", losses="tiny", clock="before 1970", answers="all right"
    ),
    "gradients not finite, negative loss": Odd(spoil="gradients not finite", losses="negative", answers="all wrong"),
    "frozen layer of one filter": Odd(spoil="frozen", filters=1, answers="past the classes"),
    "one iteration, one image": Odd(steps=(0,), target=(1,), filters=1),
    "two iterations, far apart": Odd(steps=(0, EXACT - 1), each=1, clock="backwards"),
    "no image": Odd(target=(), classes=()),
    "images without a class": Odd(target=(-1,) * 5, classes=None),
    "a class without images, some images without a class": Odd(
        target=(-1, 0, 2, 0, 2, -1, 0), classes=("猫 😀", "مرحبا \u202e", "e\u0301\nx" * 50)
    ),
    "classes called alike, one image each": Odd(target=(2, 1, 0), classes=("b", "b", ""), ids=("x", "ü\n", "☃/…")),
    "iterations past 2³¹": Odd(
        steps=tuple(range(PAST_INT32 - 7, PAST_INT32 + 13)), ids=tuple(2**62 + i for i in range(12))
    ),
    "iterations up to 2⁵³ − 1": Odd(steps=tuple(range(EXACT - 20, EXACT))),
    "gaps of 10⁹ and 10¹²": Odd(steps=(*range(10), *(10**9 * i for i in range(1, 6)), 10**12, 10**12 + 1)),
    "names": Odd(
        layers=("läyer/☃ %20 #?&'\"<b>", "Läyer/☃ %20 #?&'\"<b>"),
        scalars={"lóss ☃": "Inf at times", "lo\u0301ss ☃": "usual", "Loss": "negative", "epoch": "NaN at times",
                 "samples": "huge", "c": "tiny"},
    ),
    "a thousand layers": Odd(layers=tuple(f"block{i // 20}.{i % 20}" for i in range(1000)), spoil="one filter NaN"),
    "scalars only": Odd(every=10**9, steps=tuple(range(1, 21)), each=0, scalars={"accuracy": "NaN for ever"}),
    "answers, no filters": Odd(every=10**9, steps=tuple(range(1, 21)), losses="NaN at times"),
    "answers, filters later": Odd(every=7, steps=tuple(range(5, 25)), answers="none at times"),
}  # fmt: skip
THOROUGH = {
    "a thousand layers",
    "filter NaN, loss NaN at times, clock backwards",
    "names",
    "iterations past 2³¹",
    "no image",
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_odd_run__is_right_all_the_way(name: str, tmp_path: Path) -> None:
    # The folder is odd as well: a path is the user's.
    path = tmp_path / "rüns ☃ #1 %20 'a\"b" / "run\nof two lines"
    truth = record(CATALOGUE[name], path)
    assert problems(path, truth, tmp_path / "out", thorough=name in THOROUGH) == []


def test_odd_runs__drawn_ones_are_right_too(tmp_path: Path, stands: Callable[[Iterable[Figure]], None]) -> None:
    stands(attack(3, seed=4, folder=tmp_path))
