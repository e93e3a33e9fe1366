"""The figures of a run, and of a folder of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deeptracker.schema.derived import STAGES

if TYPE_CHECKING:
    import pandas as pd

    from deeptracker.store import Run

_STATES = {"live": "green", "closed": "default", "interrupted": "yellow"}


def describe(run: Run) -> dict[str, Any]:
    """Everything ``deeptracker info --json`` prints: figures from metadata, whatever the run's size."""
    from deeptracker.store.catalogue import summary

    facts = summary(run)
    attributes = run.attributes
    passes = []
    for view in run.validation_sets:
        sizes = run.commit.groups[f"validation/{view}"]
        passes.append({"set": view, "passes": sizes.rows, "images": sizes.columns["correct"].shape[0]})
    stages = {
        name: {
            "when": stage["when"],
            "seconds": stage["seconds"],
            "generation": stage["generation"],
            "up_to_date": stage["generation"] == run.generation,
        }
        for name, stage in run.stages.items()
    }
    return {
        "schema": 1,
        "path": str(run.path),
        **{key: facts[key] for key in ("name", "state", "started", "committed", "bytes")},
        "generation": run.generation,
        "model": attributes.get("model"),
        "framework": attributes.get("framework"),
        "optimizers": attributes.get("optimizers", []),
        "schedules": attributes.get("schedules", {}),
        "recorder": attributes.get("recorder"),
        "ingest": attributes.get("ingest"),
        "records": facts["iterations"],
        "last_iteration": max((g.last for g in run.commit.groups.values() if g.last is not None), default=None),
        "layers": facts["layers"],
        "filters": facts["filters"],
        "validation": passes,
        "stages": stages,
        "bytes_by_group": run.bytes_by_group(),
        "disk_budget": attributes.get("disk_budget"),
        "thinned": run.thinned.to_dict("records"),
        "lost": run.lost.to_dict("records"),
        "missing": _missing(run),
        "groups": list(run.groups),
    }


def _missing(run: Run) -> list[dict[str, str]]:
    """What a run could hold and does not, and what brings it: a call of the recorder, or one more kind of file."""
    checkpoints = "ingest a series of checkpoints"
    wanted = [
        ("architecture", "names of layers and filters", "record the run with deeptracker.Recorder", checkpoints),
        ("filters/dense", "statistics of filters", "call recorder.step(step) in the training loop", checkpoints),
        ("images/", "validation images", "call recorder.images(target=…) once", "ingest a table of answers"),
        (
            "validation/", "answers of validation passes", "call recorder.validate(step, loader) now and then",
            "ingest a table of answers",
        ),
    ]  # fmt: skip
    ingested = "ingest" in run.attributes
    lacking = [
        {"what": what, "remedy": other if ingested else remedy}
        for path, what, remedy, other in wanted
        if not any(group == path or (path.endswith("/") and group.startswith(path)) for group in run.groups)
    ]
    # A stage that found nothing to do holds no groups, and yet there is nothing to wait for.
    todo = [stage for stage in STAGES if stage not in run.stages]
    return lacking + [{"what": f"stage {stage}", "remedy": f"deeptracker analyze {run.path}"} for stage in todo]


def size_text(size: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _disk_text(facts: dict[str, Any]) -> str:
    """Size, the largest groups, and the budget."""
    largest = [f"{group} {size_text(size)}" for group, size in list(facts["bytes_by_group"].items())[:3] if size]
    budget = facts["disk_budget"]
    of = f" of a budget of {size_text(budget['bytes'])}" if budget else ""
    return f"{size_text(facts['bytes'])}{of}{': ' if largest else ''}{', '.join(largest)}"


def _thinned_texts(stretches: list[dict[str, Any]]) -> list[str]:
    """One line a group: which iterations were thinned, how much that was, and what stays of it."""
    texts = []
    for group in dict.fromkeys(item["group"] for item in stretches):
        mine = [item for item in stretches if item["group"] == group]
        where = f"iterations {mine[0]['first']:,}–{mine[-1]['last']:,}"
        where += f" in {len(mine)} stretches" if len(mine) > 1 else ""
        freed = size_text(sum(item["bytes"] for item in mine))
        stays = "; extremes stay in the index" if group == "filters/dense" else ""
        texts.append(f"{group} {where}, {freed}{stays}")
    return texts


def _time_text(moment: str | None) -> str:
    return (moment or "–").replace("T", " ")[:19]


def print_info(console: Console, facts: dict[str, Any]) -> None:
    """Print what ``describe`` found."""
    state = facts["state"]
    console.print(f"[bold]{escape(facts['path'])}[/]  [{_STATES[state]}]{state}[/]", highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    software = ", ".join(str(v) for v in (facts["framework"], *facts["optimizers"]) if v)
    table.add_row("model", escape(f"{facts['model'] or '–'}{f' ({software})' if software else ''}"))
    network = [f"{facts[what]:,} {what}" for what in ("layers", "filters") if facts[what]]
    table.add_row("network", ", ".join(network) or "–")
    last = "–" if facts["last_iteration"] is None else f"{facts['last_iteration']:,}"
    records = f"{facts['records']:,} filter records, " if facts["records"] else ""
    table.add_row("recorded", f"{records}up to iteration {last}")
    for index, text in enumerate((facts["ingest"] or {}).get("found", ())):
        table.add_row("" if index else "ingested", escape(text))
    for index, view in enumerate(facts["validation"]):
        text = f"{view['set']}: {view['passes']:,} passes over {view['images']:,} images"
        table.add_row("" if index else "validation", escape(text))
    recorder = facts["recorder"]
    if isinstance(recorder, dict) and recorder.get("of_seconds"):
        share = recorder["seconds"] / recorder["of_seconds"]
        table.add_row("recording cost", f"{recorder['seconds']:.3g} s, {share:.1%} of the time")
    table.add_row("on disk", escape(_disk_text(facts)))
    for index, text in enumerate(_thinned_texts(facts["thinned"])):
        table.add_row("" if index else "thinned", text)
    table.add_row("started", _time_text(facts["started"]))
    table.add_row("committed", f"{_time_text(facts['committed'])} UTC, generation {facts['generation']:,}")
    for index, (name, stage) in enumerate(facts["stages"].items()):
        age = "" if stage["up_to_date"] else "  [yellow]older than the log: analyze again[/]"
        table.add_row(
            "" if index else "stages", f"{name}, {_time_text(stage['when'])}, {stage['seconds']:.3g} s{age}"
        )
    console.print(table, highlight=False)
    if facts["ingest"]:
        _print_ingest(console, facts["ingest"])
    if facts["missing"]:
        console.print("\n[bold]Not there yet[/]")
        missing = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for item in facts["missing"]:
            missing.add_row(item["what"], escape(item["remedy"]), style="dim")
        console.print(missing, highlight=False)


def _print_ingest(console: Console, ingest: dict[str, Any]) -> None:
    """How what was ingested is to be read, and what of the source is not in the run."""
    from deeptracker.ingest import Outcome

    told = Outcome(Path(), ingest["found"], [(what, why) for what, why in ingest["left_out"]], ingest["notes"])
    lines = [*told.notes, *(f"left out: {what}: {why}" for what, why in told.grouped())]
    if lines:
        console.print("\n[bold]How it was ingested[/]")
    for line in lines:
        console.print(f"  {escape(line)}", style="dim", highlight=False)


def print_list(console: Console, folder: str, runs: pd.DataFrame) -> None:
    """Print the runs of a folder, one line each."""
    if runs.empty:
        console.print(f"no runs in {folder}", highlight=False, markup=False)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("state", no_wrap=True)
    for name in ("records", "filters", "passes × images", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("committed (UTC)", no_wrap=True)
    for row in runs.to_dict("records"):
        name, state = escape(str(row["name"])), str(row["state"])
        if state not in _STATES:
            place = escape(f"{folder.rstrip('/')}/{row['name']}")
            table.add_row(name, f"[red]unreadable: deeptracker info {place}[/]")
            continue
        passes = f"{row['passes']:,.0f} × {row['images']:,.0f}" if row["passes"] else "–"
        table.add_row(
            name,
            f"[{_STATES[state]}]{state}[/]",
            f"{row['iterations']:,.0f}",
            f"{row['filters']:,.0f}",
            passes,
            size_text(row["bytes"]),
            _time_text(row["committed"])[:16],
        )
    console.print(table, highlight=False)


__all__ = ["describe", "print_info", "print_list", "size_text"]
