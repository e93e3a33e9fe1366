"""A run in which every name and text that a run can hold is HTML, script, an attribute or a formula."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deeptracker.analysis import analyze
from deeptracker.conform import build
from deeptracker.store import LogWriter, Run, open_run
from deeptracker.testing import simulate

MARK = "pwned"
"""Of the variable that is set wherever one of these is taken for more than a text; and of what is made of them."""
BITES = (
    f"<script>window.{MARK}=1</script>",
    f"<img class={MARK} src=x onerror=window.{MARK}=1>",
    f"\"'><svg class={MARK} onload=window.{MARK}=1>",
    f'" onmouseover="window.{MARK}=1" class="{MARK}',
    f"</script><script>window.{MARK}=1</script>",
    f"<a class={MARK} href=javascript:window.{MARK}=1>a</a>",
    f"</style><iframe class={MARK} srcdoc='<script>parent.{MARK}=1</script>'></iframe>",
    f"'+(window.{MARK}=1)+'${{window.{MARK}=1}}{{{{7*7}}}}",
    f"$$\\href{{javascript:window.{MARK}=1}}{{x}}$$",
)


def bite(number: int) -> str:
    """One of them."""
    return BITES[number % len(BITES)]


class Hostile(LogWriter):
    """Writes what it is given, under names of its own."""

    def describe(self, attributes: Any) -> None:
        texts = {"model": bite(1), "framework": bite(0), "optimizers": [bite(2)], "host": {"name": bite(3)}}
        super().describe({**attributes, **texts, bite(4): bite(5)})

    def put_many(self, tables: Any) -> None:
        super().put_many({group: _bitten(table) for group, table in tables.items()})

    def coordinates(self, group: str, coordinates: Any) -> None:
        super().coordinates(group, {name: _names(name, values) for name, values in coordinates.items()})

    def append(self, group: str, position: int, row: Any) -> None:
        names = [bite(k).replace("/", "∕").replace(".", "·") for k in range(len(BITES))] if group == "scalars" else []
        super().append(group, position, {**row, **dict.fromkeys(names, 1.0 + position)})


def _bitten(table: xr.Dataset) -> xr.Dataset:
    made = {name: (v.dims, _names(str(name), v.values)) for name, v in table.variables.items()}
    return xr.Dataset({n: made[n] for n in table.data_vars}, {n: made[n] for n in table.coords}, table.attrs)


def _names(name: str, values: Any) -> Any:
    values = np.asarray(values)
    if values.dtype.kind not in "OUST":
        return values
    known = {text: number for number, text in enumerate(dict.fromkeys(map(str, values)))}
    if name == "layer" or name == "class":
        return np.array([f"{text} {bite(known[text])}" for text in map(str, values)], dtype=object)
    if name in ("block", "stage"):
        return np.array(
            [f"{text}{bite(known[text] + 1)}".replace(".", "·") for text in map(str, values)], dtype=object
        )
    return np.array([f"{text}{bite(known[text] + 2)}" if text else text for text in map(str, values)], dtype=object)


def hostile(folder: Path) -> Run:
    """The run, analysed, with hostile events and remarks, in a folder of a hostile name."""
    path = folder / f"run {bite(1)} & ' %3Cscript%3E $$x$$"
    sizes: dict[str, Any] = {"model": "tiny", "iterations": 320, "images": 60, "passes": 40, "classes": 9, "seed": 2}
    simulate(Hostile(path), **sizes, thumbnails=True)
    run = analyze(path)
    layers = [str(name) for name in run.dataset("architecture")["layer"].values]
    classes = [str(name) for name in run.dataset("images/validation")["class"].values]
    kept = {g: run.dataset(g).load() for g in run.groups if g.startswith("anomalies/") and g != "anomalies/events"}
    events = [
        {
            "rank": number + 1, "kind": "label" if number == len(BITES) else "anomaly", "cause": bite(number),
            "iteration": 100 + number, "known_at": 100 + number, "end": 120 + number,
            "layers": [layers[number % len(layers)]],
            "filters": [{"layer": layers[number % len(layers)], "channel": 1, "score": 9.0}],
            "classes": [classes[number % len(classes)]], "images": [2, 5], "false_per_1000": 0.1,
            "evidence": [{"text": bite(number), "expression": bite(number + 1), "for": True}],
        }
        for number in range(len(BITES) + 1)
    ]  # fmt: skip
    with run.write_stage("anomalies", {}) as writer:
        for group, dataset in kept.items():
            writer.put(group, dataset.reset_index("filter", drop=True) if "filter" in dataset.indexes else dataset)
        arrays: dict[str, Any] = {
            "document": np.array([json.dumps(event) for event in events], dtype=object),
            "rank": np.array([event["rank"] for event in events], np.int32),
            "iteration": np.array([event["iteration"] for event in events], np.int64),
        }
        writer.put("anomalies/events", build("anomalies/events", arrays, {}))
    run = open_run(path)
    for number in range(len(BITES)):
        run.remark(number + 1, "confirmed", bite(number))
    return run
