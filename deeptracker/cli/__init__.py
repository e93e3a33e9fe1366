"""The command line: thin, over the public API.

Exit codes: 0 done, 1 the run or the input is at fault (one line on stderr: what, where, remedy), 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import sys

from deeptracker.errors import DeepTrackerError


def main() -> None:
    """Run the command of ``sys.argv`` and exit."""
    from deeptracker.cli.commands import app
    from deeptracker.cli.ingest import ingest as _registered  # noqa: F401

    try:
        app(prog_name="deeptracker")
    except DeepTrackerError as error:
        print(f"deeptracker: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        from deeptracker.store.faults import remedy_of

        where = f"{error.filename}: " if error.filename else ""
        remedy = f": {text}" if (text := remedy_of(error)) else ""
        print(f"deeptracker: {where}{error.strerror or error}{remedy}", file=sys.stderr)
        sys.exit(1)


__all__ = ["main"]
