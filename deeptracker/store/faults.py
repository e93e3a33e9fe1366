"""What the system says where a disk refuses, as one line that names the run and a remedy."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from deeptracker.errors import DeepTrackerError, RunError

KEPT = "; what was analysed before stays as it is"
_OS_ERROR = re.compile(r"([^:]*) \(os error (\d+)\)")
_REMEDIES = {
    "free some space": (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    "check the permissions": (errno.EACCES, errno.EPERM, errno.EROFS),
    "correct the path": (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EEXIST),
}


def said(error: BaseException) -> str:
    """What the system said, also through libraries that speak Rust (zarrs); empty for other faults."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = _OS_ERROR.search(str(error))
    return found[1].strip() if found else ""


def remedy_of(error: BaseException) -> str:
    """What to do about a fault that the system told, as far as that can be said of it; empty for others."""
    found = None if isinstance(error, OSError) else _OS_ERROR.search(str(error))
    number = error.errno if isinstance(error, OSError) else int(found[2]) if found else None
    return next((text for text, numbers in _REMEDIES.items() if number in numbers), "")


def failed(place: object, error: BaseException, kept: str = "") -> RunError:
    """Writing a run, or a file of an export, failed; ``kept`` is what stays all the same."""
    remedy = remedy_of(error) or "free some space or check the permissions"
    return RunError(f"writing {place} failed ({said(error) or repr(error)}): {remedy}{kept}")


@contextmanager
def told(run: object, kept: str = "") -> Iterator[None]:
    """Faults of the disk become RunError; ours stay what they are."""
    try:
        yield
    except DeepTrackerError:
        raise
    except (OSError, RuntimeError) as error:
        if not said(error):
            raise
        raise failed(run, error, kept) from error


__all__ = ["KEPT", "failed", "remedy_of", "said", "told"]
