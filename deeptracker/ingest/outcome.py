"""What an ingest found, what it left out and why: said, never guessed over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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

    def leave_out(self, what: str, why: str) -> None:
        """Say once that something is not in the run."""
        if (what, why) not in self.left_out:
            self.left_out.append((what, why))

    def note(self, text: str) -> None:
        """Say once how something is to be read."""
        if text not in self.notes:
            self.notes.append(text)

    def grouped(self) -> list[tuple[str, str]]:
        """What was left out, with everything of the same reason in one line."""
        counts = Counter(why for _, why in self.left_out)
        lines = []
        for why in counts:
            names = [what for what, reason in self.left_out if reason == why]
            more = f" and {len(names) - 3} more" if len(names) > 4 else ""
            lines.append((", ".join(names[:3] if more else names) + more, why))
        return lines

    def attributes(self) -> dict[str, Any]:
        """The same as an attribute of the run."""
        return {"found": self.found, "left_out": [list(line) for line in self.left_out], "notes": self.notes}

    def __str__(self) -> str:
        lines = [f"{self.path}: " + "; ".join(self.found)]
        lines += [f"left out: {what}: {why}" for what, why in self.grouped()]
        lines += [f"note: {text}" for text in self.notes]
        return "\n".join(lines)


__all__ = ["Outcome"]
