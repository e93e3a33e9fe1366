"""What differs between runs: their attributes and how they ended, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from deeptracker.screen import read, sizes, variables
from deeptracker.screen.answers import error_over_time
from deeptracker.view import palettes, words
from deeptracker.view.event.events import anomalies, documents, extent
from deeptracker.view.timeline import FONT

LEFT_OUT = ("started", "recorder", "schema_version")
"""Attributes that differ between any two runs."""


def flat(attributes: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Nested attributes as ``name.of.each`` → text."""
    out: dict[str, str] = {}
    for name, value in attributes.items():
        key = f"{before}{name}"
        if isinstance(value, Mapping):
            out |= flat(value, f"{key}.")
        else:
            out[key] = words.number(value) if isinstance(value, float) else str(value)
    return out


def facts(run: Any) -> dict[str, str]:
    """What a run came to: iterations, net, learning rates, last loss and error, events."""
    out = {"iterations": f"{extent(run)[1]:,}"}
    net = sizes(run, "architecture")
    out["layers"], out["filters"] = str(net.get("layer", 0)), f"{net.get('filter', 0):,}"
    there = variables(run, "scalars")
    if "learning_rate" in there and sizes(run, "scalars").get("param_group"):
        rates = read(run, "scalars", ["learning_rate"], pixels=400, select={"param_group": slice(0, 1)})
        values = np.asarray(rates["learning_rate"].values, dtype=float)
        values = values[np.isfinite(values)]
        if len(values):
            out["learning rate"] = f"{words.number(float(values.max()))} … {words.number(float(values.min()))}"
    if "loss" in there and sizes(run, "scalars")["iteration"]:
        values = read(run, "scalars", ["loss"], pixels=400, reductions=["mean"])["loss"].values[0]
        values = values[np.isfinite(values)]
        out["last loss"] = words.number(float(values[-1])) if len(values) else "–"
    error = error_over_time(run)
    if error is not None and len(error[1]):
        out["last error"] = f"{float(error[1][-1]):.1%}"
    found = anomalies(run)
    out["events"] = "not analysed" if documents(run) is None else str(len(found))
    out["strongest event"] = f"{words.cause(found[0]['cause'])} at {words.when(found[0])}" if found else "–"
    return out


def differing(runs: Sequence[Any]) -> dict[str, list[str]]:
    """Attributes whose values are not the same in all runs: name → a text for each run."""
    each = [flat({k: v for k, v in run.attributes.items() if k not in LEFT_OUT}) for run in runs]
    names = dict.fromkeys(name for one in each for name in one)
    table = {name: [one.get(name, "–") for one in each] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def table_html(runs: Sequence[Any], names: Sequence[str], colours: Sequence[str]) -> str:
    """A row a run: what it came to, then the attributes that differ."""
    came = [facts(run) for run in runs]
    differ = differing(runs)
    titles = [*dict.fromkeys(name for one in came for name in one), *differ]
    cell = f"padding:4px 10px;border-bottom:1px solid {palettes.FAINT};white-space:nowrap;text-align:left"
    head = "".join(f'<th style="{cell}">{escape(title)}</th>' for title in ("run", *titles))
    body = ""
    for i, name in enumerate(names):
        dot = f'<span style="color:{colours[i]}">●</span> '
        cells = [came[i].get(t, differ[t][i] if t in differ else "–") for t in titles]
        row = "".join(f'<td style="{cell}">{escape(text)}</td>' for text in cells)
        body += f'<tr><td style="{cell}">{dot}{escape(name)}</td>{row}</tr>'
    same = "" if differ else f'<p style="color:{palettes.MUTED}">Their recorded attributes are the same.</p>'
    return (
        f'<div style="font:12px {FONT};color:{palettes.INK};overflow-x:auto;max-height:340px">'
        f'<table style="border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{same}</div>"
    )


__all__ = ["differing", "facts", "flat", "table_html"]
