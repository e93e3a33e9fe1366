"""Exceptions, grouped by what the user would do about them.

Each message is one line that says what is wrong, where, and what to do. The command line prints it and exits with
1; nothing here ever shows a traceback to somebody who only mistyped a path.
"""

_LONGEST = 1000


def one_line(text: str) -> str:
    """A text that quotes what others wrote, fit for a terminal: on one line, without control characters, not endless.

    The end of a long text stays: the remedy stands there.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST * 2 // 3]} … {text[-_LONGEST // 3 :]}"
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class DeepTrackerError(Exception):
    """Root of everything that DeepTracker raises on purpose."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class InputError(DeepTrackerError, ValueError):
    """What was passed in does not fit: correct the call or the data."""


class RunError(DeepTrackerError):
    """The run on disk cannot be used as it is: check the path, or verify the run."""


class NotARunError(RunError, FileNotFoundError):
    """The path leads to nothing, or to something that is not a run: correct the path."""


class NewerRunError(RunError):
    """The run was written by a newer DeepTracker: upgrade."""


class DamagedRunError(RunError):
    """Bytes of the run are not what was written: ``deeptracker verify RUN`` names them."""


class LockedRunError(RunError):
    """Another process writes this run, or analyses it: wait for it, or choose another path."""

    @classmethod
    def held(cls, run: object, holder: str, analysed: bool) -> "LockedRunError":
        """By whom, as far as that is known."""
        who = holder or "another process"
        if analysed:
            return cls(f"{run} is being analysed by {who}: wait until that has ended")
        return cls(f"{run} is being written by {who}: wait until it closes, or record to another path")


class MissingGroupError(DeepTrackerError, LookupError):
    """The run lacks a group: the message names the command or the call that makes it."""


class MissingExtraError(DeepTrackerError, ImportError):
    """An optional package is not installed: the message names the extra to install."""


class UnreachableError(RunError):
    """The object store of a run does not answer, or refuses: check network, endpoint and credentials."""
