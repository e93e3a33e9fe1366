"""The whole way of one run: opened, analysed, shown, exported, verified. Says what went wrong on it."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from typer.testing import CliRunner

import deeptracker as dt
from deeptracker.app.explorer import Explorer
from deeptracker.cli.commands import app
from deeptracker.errors import InputError
from soak.agreement import differences
from soak.oddities import Truth


def problems(path: Path, truth: Truth, folder: Path, *, thorough: bool = True) -> list[str]:
    """What is wrong with a run; empty where all of it is right.

    Parameters
    ----------
    path, truth : the run, and what happened in it.
    folder : where exports go.
    thorough : look at it before its analysis, too, one view at a time, and write report and picture: seconds more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: list[str] = []

    def stage(name: str, work: Callable[[], Any]) -> Any:
        """A stage that fails is one problem; those after it are tried all the same."""
        try:
            return work()
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            found.append(f"{name}: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})")
            return None

    if thorough:
        stage("recorded, shown", lambda: shown(dt.open_run(path)))
    run = stage("analyze", lambda: dt.analyze(path))
    if run is None:
        return found
    found += stage("compared", lambda: differences(run, truth)) or []
    found += stage("events", lambda: list(_events(run, truth))) or []
    for command in (
        ["info"],
        ["info", "--json"],
        ["verify"],
        ["list"],
        ["list", "--json"],
        ["events"],
        ["events", "--json"],
    ):
        found += stage(" ".join(command), lambda c=command: list(_command(path, c))) or []  # type: ignore[misc]
    stage("explorer", lambda: shown(run))
    found += stage("tables", lambda: list(_tables(run, truth, folder))) or []
    for kind in (".svg", ".png", ".html") if thorough else (".svg",):
        stage(f"export {kind}", lambda k=kind: dt.export.export(run, folder / f"run{k}"))  # type: ignore[misc]
    for name in ("overview", "layers", "validation", "cube") if thorough else ():
        stage(f"view {name}", lambda n=name: getattr(dt.view, n)(run))  # type: ignore[misc]
    return found


def shown(run: Any) -> None:
    """The explorer with all its sections, as the browser would get them."""
    explorer = Explorer(run)
    document = Document()
    for part in (explorer.head, explorer.band.layout):
        document.add_root(part)
    for section in explorer.sections:
        for part in section.parts:
            document.add_root(part.get_root())
    serialize_json(document.to_json())


def _events(run: Any, truth: Truth) -> Iterator[str]:
    steps = set(truth.odd.steps)
    for event in run.event_documents():
        strict(json.dumps(event))
        for name in ("iteration", "known_at", "end"):
            if event[name] is not None and event[name] not in steps:
                yield f"event {event['rank']}: {name} {event[name]} was no step"


def _command(path: Path, words: list[str]) -> Iterator[str]:
    target = path.parent if words[0] == "list" else path
    done = CliRunner().invoke(app, [words[0], str(target), *words[1:]])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if done.exit_code:
        yield f"{words[0]}: exit code {done.exit_code}: {done.output[-200:]}"
    elif "--json" in words:
        strict(done.stdout)


def strict(text: str) -> Any:
    """JSON as the standard has it: without NaN and Infinity."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def _tables(run: Any, truth: Truth, folder: Path) -> Iterator[str]:
    for kind, load in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        scalars = load(dt.export.table(run, folder / f"scalars{kind}", group="scalars"))  # type: ignore[operator]
        groups = max(1, run.scalars.sizes.get("param_group", 1))
        if scalars["iteration"].tolist() != np.repeat(truth.odd.steps, groups).tolist():
            yield f"scalars{kind}: other iterations"
        loss = next(name for name in scalars.columns if str(name).startswith("loss"))
        if not np.array_equal(scalars[loss].to_numpy()[::groups], truth.losses, equal_nan=True):
            yield f"scalars{kind}: another loss"
    for group in run.groups:
        try:
            dt.export.table(run, folder / "group.csv", group=group)
        except InputError as error:
            if "no rows to export" not in str(error):
                raise


__all__ = ["problems", "shown", "strict"]
