"""Where rows of a rank go: rank 0 writes the run, the others write nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from deeptracker.sink import Row, Sink
from deeptracker.store import LogWriter
from deeptracker.store.place import Place


class SilentSink:
    """Implements ``deeptracker.sink.Sink`` for ranks that do not write: no folder, no lock, no memory."""

    background_seconds = 0.0
    lost = 0

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Nothing."""

    def put(self, group: str, table: xr.Dataset) -> None:
        """Nothing."""

    def put_many(self, tables: Mapping[str, xr.Dataset]) -> None:
        """Nothing."""

    def get(self, group: str) -> xr.Dataset | None:
        """Nothing was put."""
        return None

    def coordinates(self, group: str, coordinates: Mapping[str, Any]) -> None:
        """Nothing."""

    def append(self, group: str, position: int, row: Row) -> None:
        """Nothing."""

    def last(self, group: str) -> int | None:
        """Every group is empty."""
        return None

    def first(self, group: str) -> int | None:
        """Every group is empty."""
        return None

    def cut(self, position: int) -> None:
        """Nothing."""

    def check(self) -> None:
        """Nothing goes wrong."""

    def flush(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def open_sink(path: Place, rank: int, *, resume: bool, flush_secs: float) -> Sink:
    """The sink of a rank."""
    return SilentSink() if rank else LogWriter(path, resume=resume, flush_secs=flush_secs)


__all__ = ["SilentSink", "open_sink"]
