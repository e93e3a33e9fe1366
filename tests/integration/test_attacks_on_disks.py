"""Short forms of the attacks by disks, object stores, readers, second analyses; ``make soak`` runs the long ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from soak import analyses, buckets, disks, readers
from soak.figures import Figure

Stands = Callable[[Iterable[Figure]], None]


def test_recording_and_analysis__on_disks_that_fail(stands: Stands, tmp_path: Path) -> None:
    stands(disks.attack(8, 3, tmp_path))


def test_recording__to_an_object_store_that_fails(stands: Stands, tmp_path: Path) -> None:
    stands(buckets.attack(2, 5, tmp_path))


def test_readers_and_second_writers__beside_a_writer(stands: Stands, tmp_path: Path) -> None:
    stands(readers.attack(60, 2, tmp_path))


def test_two_analyses__of_one_run(stands: Stands, tmp_path: Path) -> None:
    stands(analyses.folders(1, 4, tmp_path))
