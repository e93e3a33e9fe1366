"""SIGKILL at random moments, in its short form: nothing that was reported as safe is lost, and work goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from soak import kills, victims
from soak.figures import Figure


def test_kills__lose_nothing_that_was_reported(tmp_path: Path, stands: Callable[[Iterable[Figure]], None]) -> None:
    stands(kills.attack(15, 3, tmp_path))


def test_kill_that_loses_what_was_reported__is_seen(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    safe = max(kills.kill(victims.record, run, 1.0, True))
    with pytest.raises(AssertionError, match="was reported"):
        victims.check_recorded(run, safe + 100_000)
