"""Analyse every run of a folder or bucket with one client, and write a table over them.

Runs that are up to date cost nothing. A run that cannot be analysed stops none of the others: all failures are told
at the end, and the exit code is 1. The table (``FOLDER/nightly.csv``, or ``--out`` with a name in ``.parquet``) has a
row a run: how far it is, how it ended, its strongest event, what the analysis took.

    python workflows/nightly.py runs
    python workflows/nightly.py s3://bucket/runs
    python workflows/nightly.py runs --match 'resnet*' --cluster cluster/local.yaml --out tables/tonight.parquet
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from contextlib import nullcontext
from fnmatch import fnmatch
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

import deeptracker as dt
from deeptracker.cluster import connect
from deeptracker.errors import DeepTrackerError, InputError
from deeptracker.store import list_runs, place_of

EVENT = ("iteration", "cause", "layers", "classes", "false_per_1000")  # of the strongest one
FOUND = ["loss", "accuracy", "anomalies", *(f"event_{name}" for name in EVENT), "seconds", "failure"]


def findings(run: dt.Run) -> dict[str, Any]:
    """What the table says of an analysed run; NaN and empty where it has nothing of the kind."""
    out: dict[str, Any] = {"loss": math.nan, "accuracy": math.nan}
    if run.has("scalars") and "loss" in (scalars := run.dataset("scalars")):
        out["loss"] = float(scalars["loss"].values[-1])
    for view in run.validation_sets[:1]:
        out["accuracy"] = float(run.dataset(f"index/validation/{view}/all")["accuracy"].values[-1])
    anomalies = [event for event in run.event_documents() if event["kind"] != "label"]
    out["anomalies"] = len(anomalies)
    for first in anomalies[:1]:
        for name in EVENT:
            value = first[name]
            out[f"event_{name}"] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return out


def main(arguments: list[str] | None = None) -> int:
    """Analyse, tell, write the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=place_of, help="folder, or s3://BUCKET/PREFIX, that holds the runs")
    parser.add_argument("--match", default="*", help="names of runs, as a shell would match them")
    parser.add_argument("--cluster", help='"local", a YAML profile, or tcp://host:port; default: as each run needs')
    parser.add_argument("--out", type=place_of, help="the table, .csv or .parquet; default FOLDER/nightly.csv")
    asked = parser.parse_args(arguments)
    out = asked.out or asked.folder / "nightly.csv"
    try:
        ending = PurePosixPath(out.name).suffix
        if ending not in (".csv", ".parquet"):
            raise InputError(f"{out}: the table is written as .csv or .parquet")
        table = list_runs(asked.folder)
        table = table[[fnmatch(name, asked.match) for name in table["name"]]].reset_index(drop=True)
        if table.empty:
            raise InputError(f"{asked.folder} holds no run that matches {asked.match!r}")
        with nullcontext() if asked.cluster is None else connect(asked.cluster) as client:
            found = []
            for number, name in enumerate(table["name"], 1):
                began = time.perf_counter()
                try:
                    found.append(findings(dt.analyze(dt.open_run(asked.folder / name), client=client)))
                    said = f"anomalies: {found[-1]['anomalies']}"
                except Exception as error:  # whatever it is, the other runs want their turn
                    kind = "" if isinstance(error, DeepTrackerError) else f"{type(error).__name__}: "
                    found.append({"failure": f"{kind}{error}"})
                    said = "failed"
                found[-1]["seconds"] = round(time.perf_counter() - began, 2)
                print(f"[{number}/{len(table)}] {name}: {said}, {found[-1]['seconds']:.1f} s", flush=True)
    except DeepTrackerError as error:
        print(error, file=sys.stderr)
        return 1
    table = pd.concat([table, pd.DataFrame(found, columns=FOUND)], axis=1)
    content = BytesIO()
    table.to_csv(content, index=False) if ending == ".csv" else table.to_parquet(content, index=False)
    out.write([content.getvalue()])
    failed = table[table["failure"].notna()]
    print(f"{len(table) - len(failed)} of {len(table)} runs analysed; table: {out}")
    for name, failure in zip(failed["name"], failed["failure"], strict=True):
        print(f"failed: {name}: {failure}", file=sys.stderr)
    return int(len(failed) > 0)


if __name__ == "__main__":
    sys.exit(main())
