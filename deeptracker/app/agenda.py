"""What a gesture brings, in order: its own effect at once, the rest soon, what nobody sees when it is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from deeptracker.app.order import together

PAUSE = 30
"""Milliseconds between a gesture's effect and what follows from it elsewhere, and between two of those."""
Work = Callable[[], None]
Made = TypeVar("Made")
_beside = ThreadPoolExecutor(1, thread_name_prefix="beside")


class Agenda:
    """The work of one page.

    Parameters
    ----------
    part : a model of the page. Until it belongs to the document of a server's session, all is done at once.

    Attributes
    ----------
    seen : names of the sections that are in sight, or nearly; None where no browser tells: all are.
    unseen : work that waits until its section is in sight.
    """

    def __init__(self, part: Any) -> None:
        self.part = part
        self.seen: set[str] | None = None
        self.unseen: dict[Work, str] = {}
        self._acting = ""
        self._waiting: list[Work] = []

    @property
    def _document(self) -> Any:
        """The document of the server's session; None without one, or once the visitor has left."""
        document = self.part.document
        return document if document is not None and document.session_context is not None else None

    @contextmanager
    def meant_for(self, section: str) -> Iterator[None]:
        """While the state changes: this section follows at once, the others soon."""
        self._acting = section
        try:
            yield
        finally:
            self._acting = ""

    def follow(self, section: str, work: Work) -> None:
        """Work of a section that a change of the state brings: at once where the gesture is meant for it."""
        if self._acting == section or (not self._acting and self.in_sight(section)):
            work()
        else:
            self.soon(work, section)

    def in_sight(self, section: str) -> bool:
        """Whether what a section shows can be seen."""
        return self.seen is None or section in self.seen

    def look(self, sections: Sequence[str]) -> None:
        """Say what is in sight now: sections that come into it catch up."""
        self.seen = set(sections)
        for work in [work for work, section in self.unseen.items() if section in self.seen]:
            del self.unseen[work]
            self.soon(work)

    def soon(self, work: Work, section: str = "") -> None:
        """Do what a gesture brings with it once its own effect is on the way to the browser.

        What is asked for again before that is done once. Work of a ``section`` waits until that is in sight.
        """
        if section and not self.in_sight(section):
            self.unseen[work] = section
        elif (document := self._document) is None:
            work()
        elif work not in self._waiting:
            self._waiting.append(work)
            if len(self._waiting) == 1:
                document.add_timeout_callback(self._next, PAUSE)

    def _next(self) -> None:
        work = self._waiting.pop(0)
        document = self._document
        if self._waiting and document is not None:
            document.add_timeout_callback(self._next, PAUSE)
        self._do(work)

    def _do(self, work: Work) -> None:
        document = self._document
        with together(document) if document is not None else nullcontext():
            work()

    def aside(self, make: Callable[[], Made], use: Callable[[Made], None]) -> None:
        """Compute beside the server's thread, which goes on with what others do; then use the result in it."""
        if self._document is None:
            use(make())
            return

        def made(future: Future[Made]) -> None:
            if (document := self._document) is not None:
                document.add_next_tick_callback(lambda: self._do(lambda: use(future.result())))

        _beside.submit(make).add_done_callback(made)


__all__ = ["Agenda"]
