"""The commands. Each imports what it runs when it runs: ``--help`` answers at once, extras are asked for late."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from deeptracker.errors import InputError

app = typer.Typer(
    help="Record what happens inside a network while it trains, find what was unusual, and show it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

RunPath = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder of the run, or s3://BUCKET/PREFIX.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, in a stable, documented form.")]


def _console() -> Console:
    """Standard output; wide where it goes to a file or a pipe, which have no width of their own."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=160)


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))


def _version(wanted: bool) -> None:
    if wanted:
        from deeptracker import __version__

        print(f"deeptracker {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel="Begin")
def demo(
    fault: Annotated[str, typer.Option(help="What goes wrong in the training; 'none' for a clean one.")] = (
        "dead-filters"
    ),
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="Seed of time and place of the fault; drawn if left out."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    report: Annotated[bool, typer.Option(help="Write the HTML report.")] = True,
) -> None:
    """Train a small CNN on real images with something going wrong in it, record, analyse, report."""
    from deeptracker.cli.events import print_events
    from deeptracker.demo import run_demo

    console = _console()
    done = run_demo(fault=fault, seed=seed, out=out, report=report, console=console)
    print_events(console, done.run, top=10)
    console.print(f"\nwhat was planted:   {done.truth_path}", highlight=False)
    if done.report_path is not None:
        console.print(f"report:             {done.report_path}", highlight=False)
    console.print(f"look around:        deeptracker serve {out}", highlight=False)
    console.print(f"figures of the run: deeptracker info {out}", highlight=False)


@app.command(rich_help_panel="Look")
def info(run: RunPath, as_json: AsJson = False) -> None:
    """What a run holds, and what it lacks."""
    from deeptracker.cli.info import describe, print_info
    from deeptracker.store import open_run

    facts = describe(open_run(run))
    if as_json:
        _print_json(facts)
    else:
        print_info(_console(), facts)


@app.command("list", rich_help_panel="Look")
def list_(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder (or s3:// prefix) that holds runs.")] = "runs",
    as_json: AsJson = False,
) -> None:
    """The runs of a folder."""
    from deeptracker.cli.info import print_list
    from deeptracker.store import list_runs

    runs = list_runs(folder)
    if as_json:
        records = json.loads(runs.to_json(orient="records", date_format="iso"))
        _print_json({"schema": 1, "runs": records})
    else:
        print_list(_console(), folder, runs)


@app.command(rich_help_panel="Look")
def events(
    run: RunPath,
    top: Annotated[int | None, typer.Option(min=1, help="Only the N strongest; labels come along.")] = None,
    as_json: AsJson = False,
    on: Annotated[int | None, typer.Option(metavar="RANK", min=1, help="Keep a remark on this event first.")] = None,
    verdict: Annotated[str | None, typer.Option(help="Of the remark: confirmed or dismissed.")] = None,
    note: Annotated[
        str, typer.Option(help="Of the remark; with neither, it is taken back.", show_default=False)
    ] = "",
) -> None:
    """What was unusual, strongest first, with evidence."""
    from deeptracker.cli.events import print_events, select
    from deeptracker.store import open_run

    opened = open_run(run)
    if on is not None:
        opened.remark(on, verdict, note)
    elif verdict is not None or note:
        raise typer.BadParameter("say which event it is about: --on RANK", param_hint="--verdict, --note")
    if as_json:
        _print_json({"schema": 1, "events": select(opened.event_documents(), top)})
    else:
        print_events(_console(), opened, top=top)


@app.command(rich_help_panel="Look")
def serve(
    path: Annotated[str, typer.Argument(metavar="RUN_OR_DIR", help="A run, or a folder that holds runs.")],
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")] = 5006,
    password: Annotated[
        str | None, typer.Option(envvar="DEEPTRACKER_PASSWORD", help="Asked for in the browser.", show_default=False)
    ] = None,
    allow_remote: Annotated[bool, typer.Option(help="Listen beyond this machine without a password.")] = False,
    origin: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST[:PORT]", help="Further name that browsers may use, of a proxy say; repeatable."),
    ] = None,
    max_sessions: Annotated[int, typer.Option(min=1, help="Pages open at once.")] = 100,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Such as 4GiB: above it nobody else is let in; half of the machine's if left out."
        ),
    ] = None,
) -> None:
    """The explorer of a run, or the catalogue of a folder, in the browser."""
    from deeptracker.app import serve as start

    start(
        path, host=host, port=port, password=password, allow_remote=allow_remote, origins=origin or (),
        max_sessions=max_sessions, max_memory=max_memory,
    )  # fmt: skip


@app.command(rich_help_panel="Work")
def analyze(
    run: RunPath,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="PROFILE", help="Start workers: 'local', or a YAML profile (docs/clusters.md)."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Use the workers of a running Dask scheduler, tcp://host:port."),
    ] = None,
    stages: Annotated[
        str | None, typer.Option(help="Only these, separated by commas: index, anomalies, correlation, thin.")
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="Earlier run whose tail sets the alarm level; repeatable."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Again whenever it has grown, until the training ends; tell what is new.")
    ] = False,
) -> None:
    """Index a run, find what was unusual in it, and relate layers to classes."""
    from contextlib import nullcontext

    from deeptracker.analysis import analyze as perform
    from deeptracker.cli.events import counted
    from deeptracker.cli.progress import shown
    from deeptracker.store import open_run

    if cluster is not None and scheduler is not None:
        raise typer.BadParameter("give --cluster or --scheduler, not both", param_hint="--scheduler")
    if follow and stages is not None:
        raise typer.BadParameter("all stages follow a training: leave --stages out", param_hint="--follow")
    chosen = None if stages is None else [name.strip() for name in stages.split(",") if name.strip()]
    opened = open_run(run)
    others = [open_run(path) for path in reference or ()]
    connection: Any = nullcontext()
    if cluster is not None or scheduler is not None:
        from deeptracker.cluster import connect

        connection = connect(cluster or scheduler or "")
    console = Console(stderr=True)
    if follow:
        from deeptracker.cli.follow import print_updates
        from deeptracker.following import follow as updates

        with connection as client:
            last = print_updates(_console(), updates(run, client=client, reference=others))
        if last is not None and last.run.has("anomalies/events"):
            print(f"next: deeptracker events {run}   or   deeptracker serve {run}")
        return
    with connection as client, shown(console) as progress:
        done = perform(opened, stages=chosen, client=client, reference=others, progress=progress)
    print(f"{run}: {counted(done)}")
    if done.has("anomalies/events"):
        print(f"next: deeptracker events {run}   or   deeptracker serve {run}")


@app.command(rich_help_panel="Work")
def export(
    run: RunPath,
    to: Annotated[Path, typer.Option(metavar="FILE", help="report.html, figure.png or .svg, table.parquet or .csv.")],
    what: Annotated[
        str | None, typer.Option(metavar="PART", help="Of a picture: run, curves, layers, classes or cube.")
    ] = None,
    dpi: Annotated[float | None, typer.Option(help="Of a PNG: dots an inch; 300 for print (default 96).")] = None,
    group: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Of a table: any group, as `info` lists them.")
    ] = None,
) -> None:
    """Write a report, a picture or a table of a run."""
    from deeptracker.export import export as write
    from deeptracker.store import open_run

    given = {"what": what, "dpi": dpi, "group": group}
    options = {name: value for name, value in given.items() if value is not None}
    picture, table = to.suffix.lower() in (".png", ".svg"), to.suffix.lower() in (".parquet", ".csv")
    unfit = [name for name in options if not (table if name == "group" else picture)]
    if unfit:
        raise InputError(f"--{unfit[0]} does not go with {to.name}")
    print(write(open_run(run), to, **options))


@app.command(rich_help_panel="Work")
def verify(
    run: RunPath,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be put right; what is lost reads as missing.")
    ] = False,
) -> None:
    """Read every byte of a run against its checksums."""
    from deeptracker.store import verify as check

    findings = check(run, repair=repair)
    for finding in findings:
        print(finding)
    lasting = [finding for finding in findings if not finding.repaired]
    if not lasting:
        print(f"{run}: every checksum is right" if not findings else f"{run}: repaired")
        return
    remedy = f"deeptracker verify {run} --repair" if not repair else "restore the named files from a copy of the run"
    parts = "1 damaged part" if len(lasting) == 1 else f"{len(lasting)} damaged parts"
    raise InputError(f"{run}: {parts}: {remedy}")


@app.command(rich_help_panel="Work")
def simulate(
    run: RunPath,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations, each recorded.")],
    model: Annotated[str, typer.Option(help="Network whose layers are imitated.")] = "resnet50",
    images: Annotated[int, typer.Option(min=0, help="Images of the validation set.")] = 0,
    passes: Annotated[int, typer.Option(min=0, help="Validation passes.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same run.")] = 0,
) -> None:
    """Write a log of any size, for trials."""
    from deeptracker.cli.info import size_text
    from deeptracker.store.catalogue import bytes_on_disk
    from deeptracker.testing import simulate as make

    truth = make(run, model=model, iterations=iterations, images=images, passes=passes, seed=seed)
    planted = ", ".join(f"{item['kind']} at {item['iteration']}" for item in truth.get("anomalies", ())) or "nothing"
    print(f"{run}: {iterations} iterations of {model}, {size_text(bytes_on_disk(run))}; planted: {planted}")


__all__ = ["app"]
