"""The small markers beside ``commit.json``, each with a copy, so that one that is lost is missed and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deeptracker.errors import UnreachableError
from deeptracker.store.aside import keep_aside
from deeptracker.store.findings import CHANGED, MISSING, NOWHERE, Finding
from deeptracker.store.place import Place
from deeptracker.store.sealed import is_sealed, seal, unseal

COPIED = "copied"
"""Member of a marker that has a copy."""


def copy_name(name: str) -> str:
    """Of ``stages.json``: ``stages.copy.json``."""
    return f"{name.removesuffix('.json')}.copy.json"


def write_twice(folder: Place, name: str, document: Mapping[str, Any]) -> None:
    """Replace a marker, atomically and durably, its copy first; without one where a disk refuses that alone.

    The first of its name is there before its copy: who is stopped in between leaves nothing that looks lost.
    """
    raw = seal({**document, COPIED: True})
    if not (folder / name).is_file():
        (folder / name).write([seal(document)])
    try:
        (folder / copy_name(name)).write([raw])
    except (OSError, UnreachableError):
        raw = seal(document)
    (folder / name).write([raw])


def twice_findings(folder: Place, name: str) -> list[Finding]:
    """What is wrong with a marker, or with the copy that it says it has; nothing where there is neither."""
    copy, marker = _sound(folder / copy_name(name)), _sound(folder / name)
    there = (folder / name).is_file()
    if marker is None:
        return [Finding("", name, NOWHERE, CHANGED if there else MISSING)] if there or copy is not None else []
    if copy is None and unseal(marker).get(COPIED) is True:
        lost = not (folder / copy_name(name)).is_file()
        return [Finding("", copy_name(name), NOWHERE, MISSING if lost else CHANGED)]
    return []


def mend_twice(folder: Place, name: str) -> bool:
    """Write whichever of the two is damaged again from the other; whether that could be done."""
    copy, marker = _sound(folder / copy_name(name)), _sound(folder / name)
    if marker is None and copy is None:
        return False
    target = folder / (copy_name(name) if marker is not None else name)
    keep_aside(folder, target)
    target.write([marker if marker is not None else copy])
    return True


def _sound(place: Place) -> bytes | None:
    """The bytes of a marker, where they are what was written."""
    try:
        raw = place.read_bytes()
        document = unseal(raw)
    except (OSError, ValueError):
        return None
    return raw if isinstance(document, dict) and (is_sealed(raw) or document.get("schema_version") == 1) else None


__all__ = ["copy_name", "mend_twice", "twice_findings", "write_twice"]
