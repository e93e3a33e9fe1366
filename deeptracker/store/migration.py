"""Bringing a run of an earlier schema version to this one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from deeptracker.schema import SCHEMA_VERSION
from deeptracker.store.commit import Commit
from deeptracker.store.layout import LOG
from deeptracker.store.place import Place
from deeptracker.store.sealed import seal_metadata, unseal


def brought_up(folder: Place, commit: Commit) -> Commit:
    """Give metadata their checksums; returns the state that says so, not saved.

    A kill leaves some with and some without, which both versions read; the next start goes on. What cannot be
    understood stays as it is, and is damage from then on.
    """

    def seal(place: Place) -> None:
        with suppress(ValueError, KeyError, TypeError):
            place.write([seal_metadata(unseal(place.read_bytes()))])

    names = [name for name, _ in (folder / LOG).sizes() if name.rpartition("/")[2] == "zarr.json"]
    folder.at_once(seal, [folder.joinpath(LOG, *name.split("/")) for name in names])
    attributes = {**commit.attributes, "schema_version": SCHEMA_VERSION}
    return replace(commit, attributes=attributes, schema=SCHEMA_VERSION)


__all__ = ["brought_up"]
