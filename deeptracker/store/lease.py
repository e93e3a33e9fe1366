"""The one writer of a run in a bucket: an object that is made by a conditional PUT, and renewed while it lives.

Nothing tells a bucket that a process died. So whoever finds the object watches it: if it is not renewed for
``LEASE`` seconds, its writer is gone. A writer of this machine that is dead is known to be so at once. A writer that
could not renew for half of that time writes nothing more before it has.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from deeptracker.errors import LockedRunError, UnreachableError
from deeptracker.store import objects
from deeptracker.store.layout import ANALYSIS_LOCK

LEASE = 60.0
BEAT = 5.0
_POLL = 1.0
_log = logging.getLogger(__name__)


def _now() -> float:
    """Seconds that go on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _machine() -> str:
    """Where process numbers mean the same as here; empty where that is not known."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{socket.gethostname()} {file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _is_free(document: dict[str, Any]) -> bool:
    """Whether nobody holds this: it was copied with a folder, or its process ran here and runs no more."""
    if "lease" not in document:
        return True
    if not _machine() or document.get("machine") != _machine():
        return False
    try:
        os.kill(int(document["process"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError, KeyError):
        return False
    return False


def _read(bucket: str, key: str) -> tuple[dict[str, Any], str, datetime] | None:
    try:
        raw, tag, changed = objects.get(bucket, key)
    except FileNotFoundError:
        return None
    try:
        document = json.loads(raw)
    except ValueError:
        document = {}
    return (document if isinstance(document, dict) else {}), tag, changed


class Lease:
    """Held by the one writer; see the module.

    Parameters
    ----------
    bucket, key : the object.
    run : how messages name what is written.

    Raises
    ------
    LockedRunError
        Another writer holds it.
    """

    def __init__(self, bucket: str, key: str, run: object) -> None:
        self._bucket, self._key, self._run = bucket, key, run
        self._body = {
            "holder": f"process {os.getpid()} on {socket.gethostname()}",
            "machine": _machine(),
            "process": os.getpid(),
            "lease": uuid.uuid4().hex,
        }
        self._beats = 0
        self._lost = False
        self._tag = self._acquire()
        self._renewed = _now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="deeptracker-lease", daemon=True)
        self._thread.start()

    def _text(self) -> bytes:
        return json.dumps({**self._body, "beat": self._beats}).encode()

    def _acquire(self) -> str:
        since, seen = _now(), ""
        while True:
            try:
                return objects.put(self._bucket, self._key, self._text(), None)
            except objects.ReplacedError:
                found = _read(self._bucket, self._key)
            if found is None:
                continue
            document, tag, _ = found
            if document.get("lease") == self._body["lease"]:
                return tag  # our own: the answer to the first request was lost
            if seen and tag != seen:
                raise self._held(document)
            free = _is_free(document)
            if not seen and not free:
                _log.warning("%s: waiting to see whether %s still writes it", self._run, document.get("holder"))
            seen = tag
            if free or _now() - since > LEASE:
                try:
                    return objects.put(self._bucket, self._key, self._text(), tag)
                except objects.ReplacedError:
                    continue
            time.sleep(min(_POLL, LEASE / 5))

    def _held(self, document: dict[str, Any]) -> LockedRunError:
        analysed = self._key.rpartition("/")[2] == ANALYSIS_LOCK
        return LockedRunError.held(self._run, str(document.get("holder", "")), analysed)

    def _renew(self) -> None:
        while not self._stop.wait(BEAT):
            self._beats += 1
            began = _now()
            try:
                self._tag = objects.put(self._bucket, self._key, self._text(), self._tag)
                self._renewed = began
            except objects.ReplacedError:
                self._look()
                if self._lost:
                    return
            except Exception:  # the network: tried again at the next beat, and told by check()
                continue

    def _look(self) -> None:
        try:
            found = _read(self._bucket, self._key)
        except UnreachableError:
            return
        if found is not None and found[0].get("lease") == self._body["lease"]:
            self._tag = found[1]
        else:
            self._lost = True

    def check(self) -> None:
        """LockedRunError where another writer has taken over, UnreachableError where that may have happened."""
        if os.getpid() != self._body["process"]:
            raise LockedRunError.held(self._run, "the process that this one was forked from", False)
        if self._lost:
            raise LockedRunError(f"{self._run} was taken over by another process: record to another path")
        if _now() - self._renewed > LEASE / 2:
            raise UnreachableError(f"{self._run}: the object store could not be reached for {LEASE / 2:g} s")

    def release(self) -> None:
        """Let go; a second call does nothing. Where the network is down, the lease runs out by itself."""
        if self._stop.is_set() or os.getpid() != self._body["process"]:
            return
        self._stop.set()
        self._thread.join(timeout=BEAT)
        try:
            found = _read(self._bucket, self._key)
            if found is not None and found[0].get("lease") == self._body["lease"]:
                objects.delete(self._bucket, [self._key])
        except UnreachableError:
            return


def is_leased(bucket: str, key: str) -> bool:
    """Whether a writer has renewed its lease lately, the clocks of server and reader being about the same."""
    found = _read(bucket, key)
    if found is None or _is_free(found[0]):
        return False
    return (datetime.now(UTC) - found[2]).total_seconds() < LEASE


__all__ = ["Lease", "is_leased"]
