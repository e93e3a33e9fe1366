"""What an attack found: one row of the table on reliability."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One row.

    Parameters
    ----------
    attack : what was done to what, such as ``recording killed (SIGKILL), folder``.
    tried : how often, with what it is that was tried, such as ``150 kills``.
    seen : what was looked at or went on, such as ``48,212 snapshots reported as committed``.
    wrong : how many of it were not as promised.
    means : what is counted there, such as ``lost``.
    """

    attack: str
    tried: str
    seen: str
    wrong: int
    means: str

    def __str__(self) -> str:
        return f"{self.attack}: {self.tried}, {self.seen}, {self.wrong:,} {self.means}"


def markdown(figures: Iterable[Figure]) -> str:
    """The table as the README shows it."""
    rows = ["| attack | tried | seen | went wrong |", "|---|---|---|---|"]
    rows += [f"| {f.attack} | {f.tried} | {f.seen} | **{f.wrong:,}** {f.means} |" for f in figures]
    return "\n".join(rows)


__all__ = ["Figure", "markdown"]
