"""Damage on disk in its short form: noticed, named, never a number, repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from soak import injuries
from soak.figures import Figure


def test_damage__is_noticed_named_and_never_a_number(
    tmp_path: Path, stands: Callable[[Iterable[Figure]], None]
) -> None:
    stands(injuries.attack(25, 11, tmp_path))
