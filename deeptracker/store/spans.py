"""Stretches of rows whose shards were deleted to keep a disk budget. Arithmetic only, no files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive rows [start, stop) that are gone, and the bytes that they took on disk."""

    start: int
    stop: int
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class Thinned:
    """What is gone of a group.

    Parameters
    ----------
    spans : ascending, never adjacent.
    renewed : rows from here on were recorded anew (the log was cut back and went on) since the last thinning; what an
        earlier analysis knew of rows from here on is of no use. None: there are none.
    """

    spans: tuple[Span, ...] = ()
    renewed: int | None = None

    def __bool__(self) -> bool:
        return bool(self.spans)

    @property
    def rows(self) -> int:
        """Number of rows that are gone."""
        return sum(span.stop - span.start for span in self.spans)

    @property
    def nbytes(self) -> int:
        """Bytes that they took."""
        return sum(span.nbytes for span in self.spans)

    def covers(self, rows: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which of these row numbers are gone."""
        wanted = np.asarray(rows, np.int64)
        if not self.spans:
            return np.zeros(wanted.shape, bool)
        starts = np.array([span.start for span in self.spans], np.int64)
        stops = np.array([span.stop for span in self.spans], np.int64)
        place = np.searchsorted(starts, wanted, side="right") - 1
        found: npt.NDArray[np.bool_] = (place >= 0) & (wanted < stops[np.maximum(place, 0)])
        return found

    def shards(self, size: int) -> Iterator[int]:
        """Numbers of the shards of ``size`` rows that are gone whole: no file of theirs counts."""
        for span in self.spans:
            yield from range(-(-span.start // size), span.stop // size)

    def holds_shard(self, number: int, size: int) -> bool:
        """Whether this shard is gone whole."""
        return any(-(-span.start // size) <= number < span.stop // size for span in self.spans)

    def add(self, spans: Iterable[Span]) -> Thinned:
        """With more rows gone; none of them gone before. What the analysis knows now is what counts later."""
        out: list[Span] = []
        for span in sorted((*self.spans, *spans), key=lambda one: one.start):
            if out and out[-1].stop == span.start:
                out[-1] = Span(out[-1].start, span.stop, out[-1].nbytes + span.nbytes)
            else:
                out.append(span)
        return Thinned(tuple(out))

    def cut(self, rows: int) -> Thinned:
        """After the log was cut back to ``rows`` rows: those to come may lie in a shard whose beginning is gone."""
        spans = tuple(replace(span, stop=min(span.stop, rows)) for span in self.spans if span.start < rows)
        if not spans:
            return NOTHING
        return Thinned(spans, rows if self.renewed is None else min(self.renewed, rows))


NOTHING = Thinned()

__all__ = ["NOTHING", "Span", "Thinned"]
