"""The one writer of a run: rows go to a buffer, buffers to the tail, the tail to shards, each step committed."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deeptracker import conform
from deeptracker.errors import DeepTrackerError, InputError, RunError
from deeptracker.sink import Row
from deeptracker.store.commit import refuse_foreign
from deeptracker.store.disk import Disk
from deeptracker.store.layout import LOCK
from deeptracker.store.place import Place, run_place
from deeptracker.store.rows import Block, Rows
from deeptracker.store.tables import plain, same_coordinates


class LogWriter:
    """Writes a run; implements ``deeptracker.sink.Sink``.

    A row given to ``append`` is copied into memory. Every ``flush_secs`` a thread writes the new rows of all groups
    into one file of the tail and commits them; whole shards of them then move into ``log.zarr``. A kill at any
    moment loses only what was not committed.

    Parameters
    ----------
    path : the run, ``RUN`` or ``RUN/log.zarr``; made where it does not exist.
    resume : go on with a run that is already there, after its last committed row.
    flush_secs : seconds between commits.
    background : flush in a thread; otherwise only in ``flush``, ``close`` and when a buffer is full.

    Raises
    ------
    LockedRunError
        Another process writes the run.
    InputError
        There is a run and ``resume`` is false, or there is something that is not a run.
    """

    def __init__(
        self, path: str | Path | Place, *, resume: bool = True, flush_secs: float = 2.0, background: bool = True
    ) -> None:
        self.path = run_place(path)
        refuse_foreign(self.path)
        self._flush_secs, self._background = flush_secs, background
        self._rows: dict[str, Rows] = {}
        self._sizes: dict[str, dict[str, int]] = {}
        self._pending: list[tuple[str, Block]] = []
        self._fault: DeepTrackerError | None = None
        self._closed = False
        self._process = os.getpid()
        self.background_seconds = 0.0
        # The two locks are taken in this order only: files of the run, then buffers.
        self._files = threading.RLock()
        self._buffers = threading.Condition()
        self._wake, self._stop = threading.Event(), threading.Event()
        with self._reporting():
            self._lock = (self.path / LOCK).lock(self.path)
            try:
                self._disk = Disk(self.path, resume)
            except BaseException:
                self._lock.release()
                raise
        for group, growth in self._disk.commit.groups.items():
            self._rows[group] = Rows(group, {}, growth.columns)
            self._rows[group].first, self._rows[group].last = growth.first, growth.last
        self._thread = threading.Thread(target=self._work, name="deeptracker-writer", daemon=True)
        if background:
            self._thread.start()
        atexit.register(self._at_exit)

    @property
    def generation(self) -> int:
        """Number of the last commit."""
        return self._disk.commit.generation

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Merge JSON-able attributes into those of the run; durable on return."""
        with self._files, self._reporting():
            self._disk.describe(plain(attributes))

    def put(self, group: str, table: xr.Dataset) -> None:
        """Write a static group whole, replacing an earlier one; a kill leaves the old one or the new one."""
        self.put_many({group: table})

    def put_many(self, tables: Mapping[str, xr.Dataset]) -> None:
        """Write several static groups together; a kill leaves all the old ones or all the new ones."""
        for group, table in tables.items():
            if conform.declaration(group).append is not None:
                raise InputError(f"group {group!r} grows by rows: use append()")
            conform.check(table, group)
        with self._files, self._reporting():
            self._disk.put(tables)

    def get(self, group: str) -> xr.Dataset | None:
        """A static group as it was put, loaded, or None."""
        with self._files:
            table = self._disk.get(group)
        return None if table is None else table.load()

    def coordinates(self, group: str, coordinates: Mapping[str, Any]) -> None:
        """Fix the coordinates of a growing group's other axes, before its first row.

        Raises
        ------
        InputError
            The group has rows with other coordinates.
        """
        if conform.declaration(group).append is None:
            raise InputError(f"group {group!r} does not grow by rows: write its coordinates with put()")
        wanted = {dim: np.asarray(getattr(values, "values", values)) for dim, values in coordinates.items()}
        earlier = self.get(group)
        if earlier is None or not same_coordinates(wanted, earlier):
            if self.last(group) is not None:
                raise InputError(
                    f"{self.path}: {group} was recorded along other {', '.join(wanted)}: record to another path"
                )
            with self._files, self._reporting():
                self._disk.put({group: xr.Dataset(coords={dim: (dim, values) for dim, values in wanted.items()})})
            self._rows.pop(group, None)
        self._sizes[group] = {dim: values.shape[0] for dim, values in wanted.items()}

    def append(self, group: str, position: int, row: Row) -> None:
        """Add one row at ``position``; the arrays are copied. Waits where the disk cannot keep up.

        Raises
        ------
        InputError
            The row does not fit its group, or the position does not increase.
        RunError
            Writing failed since the last call (said once), or the run is closed; the row is not taken.
        """
        with self._buffers:
            if self._closed:
                raise RunError(f"{self.path} is closed: open it again to add rows")
            if self._fault is not None:
                self._raise_fault()
            rows = self._rows.get(group)
            if rows is None:
                rows = self._rows[group] = Rows(group, self._sizes.get(group, {}), {})
            if not rows.is_full():
                rows.append(position, row)
                return
        self._make_room(rows)
        self.append(group, position, row)

    def _make_room(self, rows: Rows) -> None:
        if not self._background:
            self.flush()
            return
        with self._buffers:
            while rows.is_full() and not self._closed:
                self._wake.set()
                self._buffers.wait(1.0)
                self._raise_fault()

    def last(self, group: str) -> int | None:
        """The last position of a growing group, or None while it is empty."""
        rows = self._rows.get(group)
        return None if rows is None else rows.last

    def first(self, group: str) -> int | None:
        """The first position of a growing group, or None while it is empty."""
        rows = self._rows.get(group)
        return None if rows is None else rows.first

    def cut(self, position: int) -> None:
        """Drop every row of every growing group at or past ``position``."""
        with self._files, self._reporting():
            self._flush()
            self._disk.cut(position)
            for group, growth in self._disk.commit.groups.items():
                self._rows[group].first, self._rows[group].last = growth.first, growth.last

    def flush(self) -> None:
        """Return when everything appended so far is committed.

        Raises
        ------
        RunError
            It could not be written; the rows stay in memory and are tried again.
        """
        with self._reporting():
            self._flush()
            if not self._background:
                self._disk.maintain()
        self._raise_fault()

    def close(self) -> None:
        """Flush, move the remaining rows into the hierarchy, and let go of the run. A second call does nothing.

        A closed run is plain Zarr: ``xarray.open_zarr(RUN/log.zarr, group=…)`` reads it without DeepTracker.
        """
        with self._buffers:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self._at_exit)
        self._stop.set()
        self._wake.set()
        if self._background:
            self._thread.join()
        try:
            with self._files, self._reporting():
                self._flush()
                self._lock.check()
                self._disk.finish()
        finally:
            self._lock.release()

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._flush_secs)
            self._wake.clear()
            try:
                with self._reporting(), self._files:
                    self._flush()
                    self._disk.maintain()
            except Exception as error:
                # Whatever it is, the thread has to live: a training that waits for room must hear of it.
                self._fault = error if isinstance(error, DeepTrackerError) else self._failed(repr(error))
                with self._buffers:
                    self._buffers.notify_all()
                self._stop.wait(min(self._flush_secs, 1.0))
            self.background_seconds = time.thread_time()

    def _flush(self) -> None:
        with self._files:
            self._add_pending()  # what an earlier attempt could not write goes first
            self._pending = self._take()
            self._add_pending()

    def _add_pending(self) -> None:
        if not self._pending:
            return
        self._lock.check()
        known = self._rows
        self._disk.add((g, b, {name: known[g].columns[name] for name in b.arrays}) for g, b in self._pending)
        with self._buffers:
            for group, block in self._pending:
                self._rows[group].give_back(block)
        self._pending = []

    def _take(self) -> list[tuple[str, Block]]:
        taken = []
        with self._buffers:
            for group, rows in self._rows.items():
                growth = self._disk.commit.groups.get(group)
                block = rows.take(growth.rows if growth else 0)
                if block is not None:
                    taken.append((group, block))
            self._buffers.notify_all()
        return taken

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, DeepTrackerError):
                raise
            raise self._failed(error.strerror or str(error)) from error

    def _failed(self, why: str) -> RunError:
        return RunError(f"writing {self.path} failed ({why}): free some space or check the permissions")

    def _raise_fault(self) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _at_exit(self) -> None:
        if os.getpid() == self._process and not self._closed:
            # Zarr's event loop is gone at this point; the tail needs none.
            with self._reporting():
                self._flush()


__all__ = ["LogWriter"]
