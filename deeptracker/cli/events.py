"""Events as people read them: one ranked table, labels apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from deeptracker.detect.silence import silence
from deeptracker.errors import MissingGroupError

if TYPE_CHECKING:
    from deeptracker.store import Run

_NAMES = 2
_WIDE = 110


def select(documents: list[dict[str, Any]], top: int | None) -> list[dict[str, Any]]:
    """The ``top`` strongest anomalies, and all labels after them."""
    anomalies = [d for d in documents if d["kind"] != "label"]
    return anomalies[:top] + [d for d in documents if d["kind"] == "label"]


def counted(run: Run) -> str:
    """How many anomalies and labels a run has, in words."""
    if not run.has("anomalies/events"):
        return f"has {', '.join(run.stages) or 'no stages'}"
    return in_words(run.event_documents())


def in_words(documents: list[dict[str, Any]]) -> str:
    """How many anomalies and labels these are."""
    kinds = [d["kind"] for d in documents]
    labels = kinds.count("label")
    anomalies = len(kinds) - labels
    return f"{anomalies} event{'s' * (anomalies != 1)}, {labels} label{'s' * (labels != 1)}"


def print_events(console: Console, run: Run, *, top: int | None = None) -> None:
    """Print the ranked events of a run, then its labels.

    Raises
    ------
    MissingGroupError
        The run was not analysed.
    """
    if not run.has("anomalies/events"):
        raise MissingGroupError(f"{run.path} was not analysed yet: run deeptracker analyze {run.path}")
    documents = run.event_documents()
    anomalies = [d for d in documents if d["kind"] != "label"]
    labels = [d for d in documents if d["kind"] == "label"]
    shown = anomalies[:top]
    if anomalies:
        wide = console.width >= _WIDE
        console.print(_table(shown, wide))
        if not wide:
            for document in shown:
                console.print(Padding(f"[bold]{document['rank']}[/]  {escape(_evidence(document))}", (0, 0, 0, 1)))
        if len(shown) < len(anomalies):
            console.print(f"{len(anomalies) - len(shown)} more: deeptracker events {run.path}", style="dim")
    else:
        console.print(silence(run), highlight=False)
    if labels:
        console.print("\n[bold]Labels[/] [dim]what was changed on purpose[/]")
        for document in labels:
            text = _evidence(document) or document["cause"]
            console.print(f"  {document['iteration']:>9,}  {escape(text)}", highlight=False)


def _table(documents: list[dict[str, Any]], with_evidence: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("iteration", justify="right", no_wrap=True)
    table.add_column("cause", style="bold", overflow="fold")
    table.add_column("layers", overflow="fold")
    table.add_column("classes", overflow="fold")
    table.add_column("false per 1,000", justify="right", no_wrap=True)
    if with_evidence:
        table.add_column("evidence", overflow="fold", ratio=1)
    for document in documents:
        cells = (
            str(document["rank"]),
            f"{document['iteration']:,}",
            escape(str(document["cause"])) + _remark(document),
            escape(_several(document["layers"])),
            escape(_several(document["classes"])),
            _rate(document.get("false_per_1000")),
        )
        table.add_row(*cells, *([escape(_evidence(document))] if with_evidence else []))
    return table


def _remark(document: dict[str, Any]) -> str:
    """What a person said of it, under its cause."""
    said = document.get("remark") or {}
    words = [said.get("verdict") or "", escape(said.get("note") or "")]
    text = ": ".join(word for word in words if word)
    return f"\n[dim not bold]{text}[/]" if text else ""


def _rate(rate: float | None) -> str:
    if rate is None:
        return "uncalibrated"
    return "< 0.001" if rate < 0.001 else f"{rate:.2g}"


def _several(names: list[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:_NAMES])
    return shown + (f" + {len(names) - _NAMES}" if len(names) > _NAMES else "")


def _evidence(document: dict[str, Any]) -> str:
    lines = [item["text"] for item in document.get("evidence", ()) if item.get("for", True)]
    return str(lines[0]) if lines else ""


__all__ = ["counted", "print_events", "select"]
