"""Power cuts, in their short form: what was reported as committed is on the disk; and the attack can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from deeptracker.store import durable
from soak import power
from soak.figures import Figure


def test_power_cut__takes_nothing_that_was_reported(
    tmp_path: Path, stands: Callable[[Iterable[Figure]], None]
) -> None:
    stands(power.attack(12, 7, tmp_path))


def test_writer_that_never_syncs_a_folder__would_lose_what_it_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "sync_folder", lambda folder: None)
    (figure,) = power.attack(3, 7, tmp_path)
    assert figure.wrong
