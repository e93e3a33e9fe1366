"""What comes from elsewhere may be anything: words for what cannot be understood, bounds for what it may cost."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deeptracker.errors import DeepTrackerError, InputError

_FREE = 256 << 20
"""Bytes of memory that the smallest file may take."""
_RATIO = 100
"""Beyond that, bytes of memory for each byte of a file: weights and answers are packed a few times at most."""


@contextmanager
def understood(name: str) -> Iterator[None]:
    """Whatever goes wrong in here is about the content of ``name``.

    Raises
    ------
    InputError
        In place of any exception that is not ours: readers of files raise more kinds than they tell.
    """
    try:
        yield
    except DeepTrackerError:
        raise
    except Exception as error:
        raise InputError(f"{name}: cannot be read ({first_line(error)}): write it again") from error


def first_line(error: BaseException) -> str:
    """What an error says, short."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120].rstrip(".:")


def affordable(path: Path, size: int) -> None:
    """See that ``size`` bytes of memory are in proportion to the file that asks for them.

    Raises
    ------
    InputError
        They are not: a few bytes can stand for more than any memory holds.
    """
    if size > _FREE + _RATIO * path.stat().st_size:
        raise InputError(
            f"{path.name}: {path.stat().st_size:,} bytes stand for {size:,}, out of all proportion: write it again"
        )


def check_archive(path: Path, packed: bool) -> None:
    """See that what a zip archive says of its sizes is sound; ``packed``: whether its parts may be.

    Raises
    ------
    InputError
        Its parts are packed beyond all proportion, or at all.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if not packed and any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise InputError(f"{path.name}: has packed parts, which torch.save never writes: write it again")
    affordable(path, sum(part.file_size for part in parts))


__all__ = ["affordable", "check_archive", "first_line", "understood"]
