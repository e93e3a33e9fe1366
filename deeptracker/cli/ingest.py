"""``deeptracker ingest``: what others recorded becomes a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from deeptracker.cli.commands import app


@app.command(rich_help_panel="Begin")
def ingest(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Folder or file: checkpoints (.pt .safetensors .npz), TensorBoard event files, tables of answers.",
            show_default=False,
        ),
    ],
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Folder of the new run, or s3://BUCKET/PREFIX.", show_default=False)
    ],
    include: Annotated[str | None, typer.Option(metavar="REGEX", help="Only layers whose names match.")] = None,
    exclude: Annotated[str | None, typer.Option(metavar="REGEX", help="Not the layers whose names match.")] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Multiply iterations that count epochs by N.")
    ] = None,
) -> None:
    """Make a run of what others recorded: checkpoints, TensorBoard event files, tables of answers."""
    from deeptracker.cli.progress import shown
    from deeptracker.recording import ingest_run

    with shown(Console(stderr=True)) as progress:
        done = ingest_run(
            source, run, include=include, exclude=exclude, steps_per_epoch=steps_per_epoch, progress=progress
        )
    console = Console(soft_wrap=True)
    console.print(f"[bold]{escape(str(done.path))}[/]", highlight=False)
    for text in done.found:
        console.print(f"  found     {escape(text)}", highlight=False)
    for what, why in done.grouped():
        console.print(f"  left out  {escape(what)}: {escape(why)}", highlight=False)
    for text in done.notes:
        console.print(f"  note      {escape(text)}", highlight=False)
    console.print(f"next: deeptracker analyze {run}   or   deeptracker serve {run}", highlight=False, markup=False)


__all__ = ["ingest"]
