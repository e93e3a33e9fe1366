"""Progress of long work: a bar on a terminal, a line for each new piece of work elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def shown(console: Console) -> Iterator[Callable[[str, float], None]]:
    """A function (what, share done) that shows both while the block runs."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description:<36}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("opening", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._what = ""
        self._began = time.perf_counter()

    def __call__(self, what: str, share: float) -> None:
        if what != self._what:
            self._what = what
            self._console.print(f"{time.perf_counter() - self._began:6.1f} s  {what}", highlight=False, markup=False)


__all__ = ["shown"]
