"""The runs of a folder as a table that leads to their explorers."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import quote

from deeptracker.view import palettes, words
from deeptracker.view.timeline import FONT

COLUMNS = (
    ("iterations", "recorded iterations"),
    ("layers", "layers"),
    ("filters", "filters"),
    ("passes", "validation passes"),
    ("images", "images"),
    ("bytes", "size"),
    ("state", "state"),
    ("started", "started"),
)


def catalogue_html(runs: Any) -> str:
    """An HTML table of ``store.list_runs``; each name links to ``?run=NAME``."""
    if len(runs) == 0:
        return f'<p style="font-family:{FONT}">No runs in this folder yet.</p>'
    cell = f"padding:7px 12px;border-bottom:1px solid {palettes.FAINT};"
    head = "".join(f'<th style="{cell}text-align:left;font-weight:600">{title}</th>' for _, title in COLUMNS)
    body = ""
    for row in runs.to_dict("records"):
        name = str(row["name"])
        cells = "".join(f'<td style="{cell}">{escape(_text(key, row.get(key)))}</td>' for key, _ in COLUMNS)
        live = (
            f' · <a style="color:{palettes.GAIN}" href="live?run={quote(name)}">live</a>'
            if row.get("state") == "live"
            else ""
        )
        link = f'<a style="color:{palettes.LOSS}" href="?run={quote(name)}">{escape(name)}</a>{live}'
        body += f'<tr><td style="{cell}">{link}</td>{cells}</tr>'
    return (
        f'<h1 style="font:600 18px {FONT}">Runs</h1>{_compare(len(runs))}'
        f'<table style="border-collapse:collapse;font:13px {FONT};background:#fff;width:100%">'
        f'<thead><tr><th style="{cell}text-align:left">run</th>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _compare(count: int) -> str:
    """The way to the page of several runs, where there are several."""
    if count < 2:
        return ""
    return f'<p style="font:13px {FONT}"><a style="color:{palettes.LOSS}" href="compare">Compare all of them</a></p>'


def _text(key: str, value: Any) -> str:
    if value is None or value != value:
        return "–"
    if key == "bytes":
        size = float(value)
        for unit in ("B", "kB", "MB", "GB", "TB"):
            if size < 1000 or unit == "TB":
                return f"{size:.3g} {unit}"
            size /= 1000
    if key == "started":
        return str(value)[:16].replace("T", " ")
    return words.number(value) if isinstance(value, int | float) else str(value)
