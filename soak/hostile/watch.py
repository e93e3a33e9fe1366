"""Watches what a reader does while it reads: processes, code, files elsewhere, networks, memory, time."""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deeptracker.errors import DeepTrackerError

MEMORY = 256 << 20
"""Bytes by which the resident memory of the process may grow in one try."""
SECONDS = 5.0
"""Time of the processor that one try may take; a busy machine makes it no longer."""
_LONGEST = 40.0
CANARY = "deeptracker_canary"
"""Stands in all code of the corpus: what holds it never runs, a file of this name is never made."""

_RUNS_CODE = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.startfile", "subprocess.Popen",
              "pty.spawn", "pickle.find_class", "ctypes.dlopen", "marshal.loads", "code.__new__",
              "socket.connect", "socket.bind", "urllib.Request"}  # fmt: skip
_OF_MACHINES = {"marshal.loads", "code.__new__", "ctypes.dlopen", "pickle.find_class"}
_CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
            "os.chown", "shutil.rmtree", "shutil.move", "shutil.unpack_archive"}  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class TookTooLong(BaseException):
    """Ends a try that takes longer than it may: nothing that catches ``Exception`` swallows it."""


class _Hook:
    """The one audit hook of the process: Python takes none back, so it looks only while a try goes on."""

    def __init__(self) -> None:
        self.inside: str | None = None
        self.seen: list[str] = []
        self._loading = 0
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.inside is None:
            return
        if event in _RUNS_CODE:
            if not (event in _OF_MACHINES and _by_machinery()):
                self.seen.append(f"{event} {arguments!r}"[:200])
        elif event == "exec":  # compiling alone is harmless: that is how a literal is read
            code = arguments[0]
            if code.co_filename.startswith("<") and CANARY in repr(code.co_consts) + repr(code.co_names):
                self.seen.append("runs text of the input")
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES:
                self._writes(event, path)
        elif event in _CHANGES:
            self._writes(event, arguments[0])

    def _writes(self, event: str, path: Any) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str) or not os.path.isabs(path):
            if isinstance(path, str) and _relative_to_handle(event):
                return  # below a folder that is open: shutil.rmtree walks so
            path = os.path.abspath(str(path)) if isinstance(path, str | os.PathLike) else ""
        if not path or path == os.devnull or path.endswith(".pyc") or "__pycache__" in path:
            return
        if not os.path.realpath(path).startswith(str(self.inside)):
            self.seen.append(f"{event} {path}"[:200])


def _by_machinery() -> bool:
    """Whether Python imports a module, or numba makes a kernel: both happen when they are first needed."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib") or "/numba/" in frame.f_code.co_filename:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _relative_to_handle(event: str) -> bool:
    return event in {"os.remove", "os.rmdir", "os.mkdir"}


_hook: _Hook | None = None


def attempt(work: Callable[[], object], folder: Path) -> str:
    """Do one try in ``folder``; what was wrong with it in a line, empty where nothing was.

    Right is: it succeeds, or raises a ``DeepTrackerError`` that says on one line what, where and what to do. Wrong
    is everything else: another exception, code that runs, a file that is written outside ``folder``, a network,
    memory that grows by more than ``MEMORY``, more than ``SECONDS`` of time.
    """
    global _hook
    _hook = _hook or _Hook()
    _hook.seen.clear()
    before, began, wrong = _most_memory(), time.process_time(), ""
    handler = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, _LONGEST)
    _hook.inside = os.path.realpath(folder)
    try:
        work()
    except DeepTrackerError as error:
        wrong = unclear(str(error))
    except TookTooLong:
        wrong = f"took more than {_LONGEST:.0f} s"
    except Exception as error:
        wrong = f"{type(error).__module__}.{type(error).__name__}: {error}"[:300]
    finally:
        _hook.inside = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    seconds, grown = time.process_time() - began, _most_memory() - before
    if _hook.seen:
        return f"not only read: {_hook.seen[0]}"
    if seconds > SECONDS:
        return f"took {seconds:.0f} s"
    if grown > MEMORY:
        return f"memory grew by {grown >> 20} MiB"
    return wrong


def unclear(text: str) -> str:
    """What keeps a message from being one clear line, empty where nothing does."""
    if not text.strip():
        return "a message without words"
    strange = [letter for letter in text if not letter.isprintable()]
    if strange:
        return f"a message with {strange[0]!r}: {text[:200]!r}"
    if len(text) > 2000:
        return f"a message of {len(text)} letters: {text[:200]!r}"
    return ""


def _stop(*_: object) -> None:
    raise TookTooLong


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit(gigabytes: float) -> None:
    """Bound the memory of this process, so that a try that asks for too much fails instead of the machine."""
    most = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def canary() -> Path:
    """The file that code of the corpus makes if it runs."""
    return Path(tempfile.gettempdir()) / CANARY


__all__ = ["CANARY", "MEMORY", "SECONDS", "TookTooLong", "attempt", "canary", "limit", "unclear"]
