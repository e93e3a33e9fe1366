"""How many visitors a server takes, and how much memory it may have for them: whoever is inside stays served."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dask.utils import format_bytes, parse_bytes

from deeptracker.errors import InputError

SESSIONS = 100
"""Pages open at once, if nothing else is said."""
SHARE = 0.5
"""Of the machine's memory, if nothing else is said."""


class FullError(Exception):
    """No room for another visitor; says why, and what to do."""


def memory_of_machine() -> int:
    """Bytes that processes of this machine, or of this container, may have together."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return whole
    return min(whole, int(limit)) if limit.isdigit() else whole


def memory_now() -> int:
    """Bytes that this process holds; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Visitors:
    """Lets visitors in as long as there is room.

    Parameters
    ----------
    sessions : pages open at once.
    memory : ``"4GiB"`` or a number of bytes, above which nobody else is let in; None for half of the machine's.

    Raises
    ------
    InputError : a limit that is none.
    """

    def __init__(self, sessions: int = SESSIONS, memory: str | int | None = None) -> None:
        if sessions < 1:
            raise InputError(f"max_sessions={sessions}: at least one visitor must have room")
        try:
            self.memory = int(SHARE * memory_of_machine()) if memory is None else int(parse_bytes(memory))
        except (ValueError, OverflowError):
            self.memory = 0
        if self.memory <= 0:
            raise InputError(f"max_memory={memory!r}: give bytes, or a size such as '4GiB'")
        self.sessions = sessions
        self._contexts: list[Any] = []

    def watch(self, contexts: Iterable[Any]) -> None:
        """Stand before the sessions of Bokeh's applications, whichever way they are asked for."""
        for context in contexts:
            self._contexts.append(context)
            context.create_session_if_needed = self._asked(context, context.create_session_if_needed)

    def inside(self) -> int:
        """Sessions that there are, and that are being made."""
        return sum(len(context._sessions) + len(context._pending_sessions) for context in self._contexts)

    def full(self) -> str | None:
        """Why nobody else is let in."""
        if self.inside() >= self.sessions:
            taken = (
                f"All {self.sessions} places of this server are"
                if self.sessions > 1
                else "This server's one place is"
            )
            return (
                f"{taken} taken. Close a page that you do not need, or try "
                "again in half a minute. Whoever started it can make room: deeptracker serve --max-sessions N."
            )
        if (held := memory_now()) > self.memory:
            return (
                f"This server holds {format_bytes(held)} of memory and may have {format_bytes(self.memory)}. Close a "
                "page that you do not need, or try again in half a minute. Whoever started it can allow more: "
                "deeptracker serve --max-memory SIZE."
            )
        return None

    def _asked(self, context: Any, make: Any) -> Any:
        async def unless_full(session_id: str, *args: Any, **options: Any) -> Any:
            known = session_id in context._sessions or session_id in context._pending_sessions
            if not known and (why := self.full()):
                raise FullError(why)
            return await make(session_id, *args, **options)

        return unless_full


__all__ = ["SESSIONS", "FullError", "Visitors", "memory_now"]
