"""What is wrong with a part of a run, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deeptracker.errors import one_line

MISSING = "a file is missing"
CHANGED = "bytes are not what was written"
NOWHERE = (0, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """One damaged part of a run.

    Parameters
    ----------
    group, variable : where it is; no group: a file of the run itself, which ``variable`` names.
    rows : [first, last + 1) along the first axis; empty where all of it is concerned.
    problem : what is wrong.
    iterations : first and last position of these rows, where they are known.
    done : what a repair did about it; empty where nothing.
    """

    group: str
    variable: str
    rows: tuple[int, int]
    problem: str
    iterations: tuple[int, int] | None = None
    done: str = ""

    @property
    def repaired(self) -> bool:
        """Whether it is damaged no more: made anew, dropped to be made again, or said to be missing."""
        return bool(self.done)

    def after(self, done: str) -> Finding:
        """The same, repaired."""
        return replace(self, done=done)

    def __str__(self) -> str:
        where = "/".join(part for part in (self.group, self.variable) if part)
        first, stop = self.rows
        if self.iterations is not None:
            low, high = self.iterations
            where += f", iterations {low} to {high}" if low != high else f", iteration {low}"
        elif stop > first:
            where += f", rows {first} to {stop - 1}"
        return one_line(f"{where}: {self.problem}{f' ({self.done})' if self.done else ''}")


__all__ = ["CHANGED", "MISSING", "NOWHERE", "Finding"]
