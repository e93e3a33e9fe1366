"""Analyse runs by name: ``python workflows/analyze.py runs/mine runs/other --cluster local``.

Runs that are up to date cost nothing, and a run that cannot be analysed does not stop the others.
Exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext

import deeptracker as dt
from deeptracker.cluster import connect
from deeptracker.errors import DeepTrackerError


def main(arguments: list[str] | None = None) -> int:
    """Analyse every run named; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", help="paths of runs")
    parser.add_argument("--cluster", help='"local", a YAML profile, or tcp://host:port; default: as each run needs')
    parser.add_argument("--stages", nargs="+", help="index, anomalies, correlation; default: those out of date")
    options = parser.parse_args(arguments)
    failed = 0
    try:
        with nullcontext() if options.cluster is None else connect(options.cluster) as client:
            for path in options.runs:
                try:
                    run = dt.analyze(path, stages=options.stages, client=client)
                    print(f"{path}: {len(run.events())} events")
                except DeepTrackerError as error:
                    print(f"{path}: {error}", file=sys.stderr)
                    failed += 1
    except DeepTrackerError as error:
        print(error, file=sys.stderr)
        return 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
