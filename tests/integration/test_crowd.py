"""The server under attack, in short; ``make soak`` does it at length."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from soak.figures import Figure
from soak.visitors import attack


def test_server__holds_its_places_and_answers_nobody_hostile(
    tmp_path: Path, stands: Callable[[Iterable[Figure]], None]
) -> None:
    stands(attack(300, 1, tmp_path))
