"""What the system says where a disk refuses, as one line that names the run and a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from deeptracker.errors import DeepTrackerError, RunError

KEPT = "; what was analysed before stays as it is"
_OS_ERROR = re.compile(r"([^:]*) \(os error \d+\)")


def said(error: BaseException) -> str:
    """What the system said, also through libraries that speak Rust (zarrs); empty for other faults."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = _OS_ERROR.search(str(error))
    return found[1].strip() if found else ""


def failed(run: object, why: str, remedy: str = "") -> RunError:
    """Writing a run failed."""
    return RunError(f"writing {run} failed ({why}): free some space or check the permissions{remedy}")


@contextmanager
def told(run: object, remedy: str = "") -> Iterator[None]:
    """Faults of the disk become RunError; ours stay what they are."""
    try:
        yield
    except DeepTrackerError:
        raise
    except (OSError, RuntimeError) as error:
        if not (why := said(error)):
            raise
        raise failed(run, why, remedy) from error


__all__ = ["KEPT", "failed", "said", "told"]
