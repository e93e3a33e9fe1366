"""Which writing of a group a reader has in hand, and whether it is still the one that counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from deeptracker.errors import RunError
from deeptracker.store.commit import Commit, load_commit, stamp
from deeptracker.store.layout import STAGES
from deeptracker.store.place import Place


@lru_cache(maxsize=32)
def _load(folder: Place, seen: tuple[Any, ...]) -> Commit:
    return load_commit(folder)


def latest(folder: Place) -> Commit:
    """The state of a run that counts now; read again only where it was replaced.

    Raises
    ------
    RunError
        The run is gone.
    """
    try:
        return _load(folder, stamp(folder))
    except FileNotFoundError:
        raise RunError(f"{folder} is gone: open it again where it lies now") from None


@dataclass(frozen=True, slots=True)
class Edition:
    """A group that is written whole, as one version of it.

    Parameters
    ----------
    folder, run, group : the group, and what the run calls itself.
    version : of the group, or of the derived stage that it belongs to.
    stage : that stage, or empty.
    """

    folder: Place
    run: str
    group: str
    version: int
    stage: str = ""

    @property
    def verify(self) -> str:
        """The command that tells what is damaged."""
        return f"deeptracker verify {self.folder}"

    def check(self) -> None:
        """RunError where another version counts by now: what is read may be of that one, or of neither."""
        now = self._derived() if self.stage else latest(self.folder).tables.get(self.group)
        if now != self.version or latest(self.folder).run != self.run:
            raise RunError(
                f"{self.folder}: {self.group} was made anew since the run was opened: call refresh() and read again"
            )

    def _derived(self) -> int | None:
        try:
            stages = json.loads((self.folder / STAGES).read_bytes())["stages"]
            found: int = stages[self.stage]["version"]
        except (FileNotFoundError, KeyError):
            return None
        except (ValueError, TypeError):  # the marker is damaged, which is not told here
            return self.version
        return found


__all__ = ["Edition", "latest"]
