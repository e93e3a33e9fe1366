"""The one registry of names: dimensions, groups and variables of a run. Declarations only.

Checks, attributes on disk and the data-model page of the docs all come from here, so that one name means one thing
in the store, in the API, on the command line and on the screen.
"""

from functools import lru_cache

from deeptracker.schema.derived import DERIVED
from deeptracker.schema.recorded import RECORDED
from deeptracker.schema.variable import Group, Variable

SCHEMA_VERSION = 2
"""2: markers and metadata carry a checksum of their own bytes. Runs of version 1 open; a writer brings them to 2."""

GROUPS: tuple[Group, ...] = RECORDED + DERIVED


@lru_cache(maxsize=4096)
def group_of(path: str) -> Group | None:
    """The declaration a path falls under: ``validation/test/raw`` → ``validation/<set>/<weights>``, or None."""
    return next((group for group in GROUPS if group.matches(path)), None)


__all__ = ["DERIVED", "GROUPS", "RECORDED", "SCHEMA_VERSION", "Group", "Variable", "group_of"]
