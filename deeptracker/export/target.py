"""Where an export goes: checked first, written aside, then put in place whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deeptracker.errors import InputError
from deeptracker.store.faults import failed


@contextmanager
def written(to: str | Path) -> Iterator[Path]:
    """A path to write to; on success it replaces ``to``, on an error nothing is left behind.

    Raises
    ------
    InputError : the folder does not exist, or ``to`` is a folder.
    RunError : the system refuses the file; a fault of another file stays what it is.
    """
    path = Path(to).expanduser()
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}: make it first")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file")
    aside = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        yield aside
        os.replace(aside, path)
    except OSError as error:
        if error.errno is None or str(error.filename or aside) != str(aside):
            raise
        raise failed(path, error) from error
    finally:
        aside.unlink(missing_ok=True)
