"""The one writer of a run: rows go to a buffer, buffers to the tail, the tail to shards, each step committed."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deeptracker import conform
from deeptracker.errors import DeepTrackerError, InputError, LockedRunError, RunError
from deeptracker.sink import Row
from deeptracker.store.buffers import Buffers
from deeptracker.store.commit import refuse_foreign
from deeptracker.store.disk import Disk
from deeptracker.store.faults import failed, told
from deeptracker.store.layout import LOCK
from deeptracker.store.place import Place, run_place
from deeptracker.store.tables import plain, same_coordinates
from deeptracker.store.waiting import Waiting


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
        self._waiting = Waiting()
        self._fault: DeepTrackerError | None = None
        self._process = os.getpid()
        self.background_seconds = 0.0
        # Locks are taken in this order only: files of the run, then that of the buffers.
        self._files = threading.RLock()
        self._wake, self._stop = threading.Event(), threading.Event()
        with told(self.path):
            self._lock = (self.path / LOCK).lock(self.path)
            try:
                self._disk = Disk(self.path, resume)
            except BaseException:
                self._lock.release()
                raise
        self._buffers = Buffers(self._disk.commit)
        self._thread = threading.Thread(target=self._work, name="deeptracker-writer", daemon=True)
        if background:
            self._thread.start()
        atexit.register(self._at_exit)

    @property
    def generation(self) -> int:
        """Number of the last commit."""
        return self._disk.commit.generation

    @property
    def lost(self) -> int:
        """Rows that could not be written: see ``buffers.Buffers``."""
        return self._buffers.lost

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Merge JSON-able attributes into those of the run; durable on return, unless ``check`` tells of a fault."""
        with self._writing():
            self._waiting.attributes |= plain(attributes)
            self._change()

    def put(self, group: str, table: xr.Dataset) -> None:
        """Write a static group whole, replacing an earlier one; a kill leaves the old one or the new one."""
        self.put_many({group: table})

    def put_many(self, tables: Mapping[str, xr.Dataset]) -> None:
        """Write several static groups together; a kill leaves all the old ones or all the new ones.

        Durable on return, unless ``check`` tells of a fault: then they wait in memory, and are tried again.
        """
        for group, table in tables.items():
            if conform.declaration(group).append is not None:
                raise InputError(f"group {group!r} grows by rows: use append()")
            conform.check(table, group)
        with self._writing():
            self._waiting.tables |= tables
            self._change()

    def get(self, group: str) -> xr.Dataset | None:
        """A static group as it was put, loaded, or None."""
        self._check_process()
        with self._files:
            table = self._waiting.tables.get(group)
            table = self._disk.get(group) if table is None else table
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
            self._buffers.groups.pop(group, None)
        self._buffers.sizes[group] = {dim: values.shape[0] for dim, values in wanted.items()}
        if earlier is None or not same_coordinates(wanted, earlier):
            with self._writing():
                table = xr.Dataset(coords={dim: (dim, values) for dim, values in wanted.items()})
                self._waiting.tables[group] = table
                self._change()

    def append(self, group: str, position: int, row: Row) -> None:
        """Add one row at ``position``; the arrays are copied. Waits where the disk cannot keep up.

        Raises
        ------
        InputError
            The row does not fit its group, or the position does not increase.
        RunError
            The run is closed, or memory for rows is full and the disk takes none: the row is lost.
        """
        self._check_process()
        while True:
            if self._buffers.closed:
                raise RunError(f"{self.path} is closed: open it again to add rows")
            if self._buffers.append(group, position, row):
                return
            if not self._background:
                with suppress(RunError):
                    self.flush()
            self._buffers.wait(group, self._wake.set if self._background else None)

    def check(self) -> None:
        """Raise what went wrong in the background since the last call; what was to be written is tried again."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def last(self, group: str) -> int | None:
        """The last position of a growing group, or None while it is empty."""
        rows = self._buffers.groups.get(group)
        return None if rows is None else rows.last

    def first(self, group: str) -> int | None:
        """The first position of a growing group, or None while it is empty."""
        rows = self._buffers.groups.get(group)
        return None if rows is None else rows.first

    def cut(self, position: int) -> None:
        """Drop every row of every growing group at or past ``position``."""
        with self._writing():
            self._flush()
            for rows in self._buffers.groups.values():
                rows.cut(position)
            self._waiting.cut(position)
            self._change()
            if not self._waiting:
                self._buffers.follow(self._disk.commit)

    def flush(self) -> None:
        """Return when everything appended so far is committed.

        Raises
        ------
        RunError
            It could not be written; the rows stay in memory and are tried again.
        """
        with self._writing():
            self._flush()
            if not self._background:
                self._disk.maintain()
        self.check()

    def close(self) -> None:
        """Flush, move the remaining rows into the hierarchy, and let go of the run. A second call does nothing, and
        neither does one in a forked child.

        A closed run is plain Zarr: ``xarray.open_zarr(RUN/log.zarr, group=…)`` reads it without DeepTracker.
        """
        if os.getpid() != self._process or not self._buffers.close():
            return
        atexit.unregister(self._at_exit)
        self._stop.set()
        self._wake.set()
        if self._background:
            self._thread.join()
        try:
            with self._writing():
                self._flush()
                self._lock.check()
                self._disk.finish()
        finally:
            self._buffers.lose(self._waiting.rows)
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
                with self._writing():
                    self._flush()
                    self._disk.maintain()
            except Exception as error:
                # Whatever it is, the thread has to live: a training that waits for room must hear of it.
                self._fault = error if isinstance(error, DeepTrackerError) else failed(self.path, error)
                self._stop.wait(min(self._flush_secs, 1.0))
            self.background_seconds = time.thread_time()

    def _flush(self) -> None:
        try:
            with self._writing():
                self._write()  # what an earlier attempt could not write goes first
                self._waiting.blocks = self._buffers.take(self._disk.commit)
                self._write()
        except Exception as error:
            self._buffers.fail(str(error))
            raise
        self._buffers.failing = ""

    def _write(self) -> None:
        if self._waiting:
            self._lock.check()
            self._buffers.give_back(self._waiting.write(self._disk, self._buffers.groups))

    def _change(self) -> None:
        try:
            with told(self.path):
                self._lock.check()
                self._waiting.change(self._disk)
        except RunError as error:
            if not self._background:
                raise
            self._fault = error  # told by check(): the row for which a table was put is not to suffer

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._check_process()
        with self._files, told(self.path):
            yield

    def _check_process(self) -> None:
        if os.getpid() != self._process:  # its locks may be held by threads that are not here
            raise LockedRunError.held(self.path, f"process {self._process}, from which this one was forked", False)

    def _at_exit(self) -> None:
        if os.getpid() == self._process and not self._buffers.closed:
            try:
                self._waiting.tables.clear()  # Zarr's event loop is gone at this point; the tail needs none
                self._flush()
            except Exception as error:  # nobody is left to catch it
                print(f"deeptracker: {error}", file=sys.stderr)


__all__ = ["LogWriter"]
