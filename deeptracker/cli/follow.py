"""The analyses of a training that goes on, a line each, and what each found as soon as it is known."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from deeptracker.cli.events import in_words
from deeptracker.following import Event, Update


def print_updates(console: Console, updates: Iterable[Update]) -> Update | None:
    """Print them while they come; the last of them. An interrupt (Ctrl-C) ends it, as the training's end does."""
    last = None
    try:
        for update in updates:
            last = update
            said = (
                f"iteration {update.iteration:,}: {in_words(update.told)}" if update.iteration >= 0 else "no filters"
            )
            console.print(f"{said} [dim]({update.seconds:.1f} s)[/]", highlight=False)
            for event in update.new:
                console.print(f"  [bold]new[/]   {_line(event)}", highlight=False)
            for event in update.gone:
                console.print(f"  [dim]gone  {_line(event)}[/]", highlight=False)
    except KeyboardInterrupt:
        console.print("stopped; the training goes on", style="dim")
    return last


def _line(event: Event) -> str:
    evidence = event["evidence"][0]["text"] if event["evidence"] else ""
    where = ", ".join([*event["layers"][:2], *(f"class {name}" for name in event["classes"][:2])])
    parts = [f"{event['iteration']:,} {event['cause']}", where, evidence]
    return escape(" · ".join(part for part in parts if part))


__all__ = ["print_updates"]
