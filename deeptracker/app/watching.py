"""Analyses of a live run for the pages of one server, made by a process of its own: no gesture waits for them.

``python -m deeptracker.app.watching RUN`` prints a line of JSON for each update of ``deeptracker.follow``.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]

MOST = 4
"""Runs analysed at once: a process of 300 MB each, which whoever reaches the server can ask for."""
FULL = (
    f"No analysis for now: this server has {MOST} other live runs to analyse. Close the pages of one, or run "
    "deeptracker analyze RUN --follow in a terminal, which needs no page."
)

_watches: dict[str, Watch] = {}
_lock = threading.Lock()


@dataclass
class Watch:
    """What is known of a run by now: ``updates`` counts analyses, ``told`` are all events, ``alerts`` those that came
    up while it was watched, each with the number of its update; ``problem`` says why there are no more. It has a
    process while there are ``pages`` that show it.
    """

    path: str
    updates: int = 0
    iteration: int = -1
    seconds: float = 0.0
    told: list[Event] = field(default_factory=list)
    alerts: list[tuple[int, Event]] = field(default_factory=list)
    problem: str = ""
    done: bool = False
    pages: int = 0
    process: subprocess.Popen[str] | None = None

    def join(self) -> None:
        """A page shows it from now on."""
        with _lock:
            _watches.setdefault(self.path, self)
            self.pages += 1
            _start_some()

    def leave(self) -> None:
        """A page is gone; with the last one the process ends, and another run may have its place."""
        with _lock:
            self.pages -= 1
            if self.pages == 0:
                self.stop()
                _start_some()

    def start(self) -> None:
        """Begin to analyse, and to listen."""
        self.problem, self.done = "", False
        command = [sys.executable, "-u", "-m", "deeptracker.app.watching", self.path]
        self.process = process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._listen, args=(process,), daemon=True, name=f"watching {self.path}").start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        last = ""
        with process:
            for line in process.stdout:
                last = line.strip() or last
                try:
                    update = json.loads(line)
                except ValueError:
                    continue
                self.take(update)
        with _lock:
            if self.process is not process:
                return  # it was stopped
            self.done = True
            if process.wait() and not self.problem:
                self.problem = last[:300]
            _start_some()

    def take(self, update: dict[str, Any]) -> None:
        """An update as ``main`` prints it."""
        if "problem" in update:
            self.problem = str(update["problem"])
            return
        self.updates += 1
        self.told, self.iteration, self.seconds = update["told"], update["iteration"], update["seconds"]
        self.alerts += [(self.updates, event) for event in update["new"]]

    def stop(self) -> None:
        """End the process, whatever it is at: an analysis that was killed loses nothing."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()


def watch(path: str) -> Watch:
    """The watch of a run, one for all sessions of this server; its process begins when a page joins."""
    with _lock:
        return _watches.setdefault(path, Watch(path))


def _start_some() -> None:
    """Start those that pages wait for, as far as there is room."""
    running = sum(one.process is not None and not one.done for one in _watches.values())
    for one in _watches.values():
        if one.pages and one.process is None:
            if running < MOST:
                one.start()
            else:
                one.problem = FULL
            running += 1


@atexit.register
def stop_all() -> None:
    """End all watches of this process."""
    with _lock:
        for one in _watches.values():
            one.stop()
        _watches.clear()


def end_with_server() -> None:
    """End this process when standard input ends: the server is gone, even if it was killed and could say nothing."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True, name="end with server").start()


def main(path: str) -> None:
    """Print each update of a run as a line of JSON, until its training has ended."""
    from deeptracker.errors import DeepTrackerError
    from deeptracker.following import follow

    os.nice(10)  # the training, and the pages that show it, come first
    try:
        for update in follow(path, every=3.0):
            line = {
                "told": update.told, "new": update.new, "iteration": update.iteration, "seconds": update.seconds,
            }  # fmt: skip
            print(json.dumps(line), flush=True)
    except DeepTrackerError as error:
        print(json.dumps({"problem": str(error)}), flush=True)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    end_with_server()
    main(sys.argv[1])

__all__ = ["FULL", "MOST", "Watch", "stop_all", "watch"]
