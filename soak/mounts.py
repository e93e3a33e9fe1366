"""A disk of its own for an attack, and another user whom permissions bind."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534


@contextlib.contextmanager
def disk(folder: Path, real: bool, kilobytes: int) -> Iterator[Path]:
    """A folder on a disk of its own, which everybody may use."""
    # Below the folder of all: those that lead to ``folder`` may be closed to other users.
    place = Path(tempfile.mkdtemp(prefix="deeptracker-disk-")) if real else folder
    place.mkdir(parents=True, exist_ok=True)
    if real:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=777", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        if real:
            subprocess.run(["umount", "-l", place], check=True)
        shutil.rmtree(place, ignore_errors=True)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a tmpfs."""
    try:
        with disk(folder / "mounted", True, 64):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextlib.contextmanager
def someone(place: Path, other: bool) -> Iterator[None]:
    """As another user, whom permissions bind; root they do not."""
    if not other or os.geteuid():
        yield
        return
    place.chmod(0o777)
    place.parent.chmod(place.parent.stat().st_mode | 0o011)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


__all__ = ["can_mount", "disk", "someone"]
