"""What an ingest found, what it left out and why: said, never guessed over."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deeptracker.errors import one_line

_MOST_LINES = 1000


@dataclass(slots=True)
class Outcome:
    """The result of an ingest.

    Parameters
    ----------
    path : the run that was written.
    found : one line for each kind of data that went into the run.
    left_out : (what, why) of everything that did not.
    notes : how to read what went in: what was taken from where, what is approximate, what is unknown.
    """

    path: Path
    found: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _said: set[tuple[str, str]] = field(default_factory=set, repr=False)

    def leave_out(self, what: str, why: str) -> None:
        """Say once that something is not in the run."""
        line = one_line(what), one_line(why)
        if line not in self._said:
            self._said.add(line)
            self.left_out.append(line)

    def note(self, text: str) -> None:
        """Say once how something is to be read."""
        text = one_line(text)
        if text not in self.notes:
            self.notes.append(text)

    def grouped(self) -> list[tuple[str, str]]:
        """What was left out, with everything of the same reason in one line."""
        by_reason: dict[str, list[str]] = defaultdict(list)
        for what, why in self.left_out:
            by_reason[why].append(what)
        lines = []
        for why, names in by_reason.items():
            more = f" and {len(names) - 3} more" if len(names) > 4 else ""
            lines.append((", ".join(names[:3] if more else names) + more, why))
        return lines

    def attributes(self) -> dict[str, Any]:
        """The same as an attribute of the run, which is read whenever that is opened: not without end."""
        left_out = [list(line) for line in self.left_out[:_MOST_LINES]]
        return {"found": self.found, "left_out": left_out, "notes": self.notes[:_MOST_LINES]}

    def __str__(self) -> str:
        lines = [f"{self.path}: " + "; ".join(self.found)]
        lines += [f"left out: {what}: {why}" for what, why in self.grouped()]
        lines += [f"note: {text}" for text in self.notes]
        return "\n".join(lines)


__all__ = ["Outcome"]
