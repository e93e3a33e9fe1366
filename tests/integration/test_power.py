"""Power cuts, in their short form: what was reported as committed is on the disk; and the attack can tell."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from deeptracker.store import durable
from soak import power
from soak.figures import Figure
from soak.platter import Platter


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


def test_platter__gives_back_a_folder_that_was_removed_as_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for seed in range(8):
        platter = Platter(root)
        platter.draw, platter.image = random.Random(seed), tmp_path / f"left-{seed}"
        with platter.watching():
            (root / "making").mkdir()
            durable.sync_folder(root)  # its name, but nothing in it
            (root / "making" / "part").write_bytes(b"some")
            shutil.rmtree(root / "making")
            platter.at = platter.calls + 1
            durable.sync_folder(root)
        found = list(platter.image.iterdir())
        assert all(one.is_dir() and one.name == "making" for one in found)
    assert any(list((tmp_path / f"left-{seed}").iterdir()) for seed in range(8))
