"""The filters that changed most at pinned iterations: by their anomaly score, or by how far they turned."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from deeptracker.screen import coordinate, sizes, table, variables
from deeptracker.view import palettes, words
from deeptracker.view.timeline import FONT

MOST = 10
SCORES = (
    ("anomalies/filters", "filter_score", "anomaly score, robust deviations"),
    ("filters/dense", "update_angle", "angle of the update, rad"),
)


def strongest(run: Any, iteration: int, most: int = MOST) -> tuple[int, str, list[tuple[str, int, float]]] | None:
    """(record, what is ranked, [(layer, channel, value)]) of the record in force then; None where there is none."""
    for group, name, title in SCORES:
        if name not in variables(run, group) or not sizes(run, group).get("iteration"):
            continue
        at = coordinate(run, group, "iteration")
        row = max(0, int(np.searchsorted(at, iteration, side="right")) - 1)
        values = np.asarray(table(run, group, [name], select={"iteration": slice(row, row + 1)})[name].values[0])
        size = np.where(np.isfinite(values), np.abs(values), -np.inf)
        order = np.argsort(-size, kind="stable")[:most]
        net = table(run, "architecture", ["filter_layer", "filter_channel"])
        layers = coordinate(run, "architecture", "layer")[net["filter_layer"].values[order]]
        channels = net["filter_channel"].values[order]
        found = [
            (str(layer), int(channel), float(values[i]))
            for layer, channel, i in zip(layers, channels, order, strict=True)
            if np.isfinite(values[i])
        ]
        if found:
            return int(at[row]), title, found
    return None


def strongest_html(run: Any, pins: Sequence[int]) -> str:
    """A table a pin: its ten strongest filters; an invitation where nothing is pinned."""
    style = f"font:12px {FONT};color:{palettes.MUTED};padding:6px 0"
    if not pins:
        return f'<div style="{style}">Pin an iteration (click in the band) to see its strongest filters here.</div>'
    parts = []
    for pin in pins:
        found = strongest(run, pin)
        if found is None:
            continue
        at, title, filters = found
        rows = "".join(
            f'<tr><td style="padding:1px 12px 1px 0">{escape(layer)}</td><td style="padding-right:12px">filter '
            f'{channel}</td><td style="text-align:right">{words.number(value)}</td></tr>'
            for layer, channel, value in filters
        )
        parts.append(
            f'<div><b style="color:{palettes.INK}">Strongest filters at {at:,}</b><br>{escape(title)}'
            f'<table style="font:12px {FONT};color:{palettes.INK};border-collapse:collapse">{rows}</table></div>'
        )
    return f'<div style="{style};display:flex;flex-wrap:wrap;gap:10px 34px">{"".join(parts)}</div>'


__all__ = ["strongest", "strongest_html"]
