"""The protocol between who records and who stores.

A recorder speaks of groups, rows and static tables; it never learns how they lie on disk. A store implements this
protocol; it never learns where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr

Row = Mapping[str, "np.ndarray[Any, Any] | float | int"]


@runtime_checkable
class Sink(Protocol):
    """Takes what a recording produces. Every method may raise ``deeptracker.errors.DeepTrackerError``."""

    background_seconds: float
    """CPU seconds that storing has taken so far in threads of its own."""

    @property
    def lost(self) -> int:
        """Rows that are not stored: memory for them was full while the disk took none, or it took none at the end."""

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Merge JSON-able attributes into those of the run (model, framework, host, schedules)."""

    def put(self, group: str, table: xr.Dataset) -> None:
        """Write a static group whole (architecture, images, initial weights), replacing an earlier one."""

    def put_many(self, tables: Mapping[str, xr.Dataset]) -> None:
        """Write several static groups together: after a kill all of them are there, or none."""

    def get(self, group: str) -> xr.Dataset | None:
        """A static group as it was put, or the coordinates of a growing one, loaded; or None."""

    def coordinates(self, group: str, coordinates: Mapping[str, Any]) -> None:
        """Fix the coordinates of a growing group's other axes (filter, image, bin …) before its first row."""

    def append(self, group: str, position: int, row: Row) -> None:
        """Add one row at ``position`` (iteration); the arrays are copied. Positions strictly increase."""

    def last(self, group: str) -> int | None:
        """The last position of a growing group, or None while it is empty."""

    def first(self, group: str) -> int | None:
        """The first position of a growing group, or None while it is empty."""

    def cut(self, position: int) -> None:
        """Drop every row of every growing group at or past ``position``."""

    def check(self) -> None:
        """Raise what went wrong in threads of its own since the last call."""

    def flush(self) -> None:
        """Return when everything appended so far is committed."""

    def close(self) -> None:
        """Flush, and let go of the run. A second call does nothing."""
