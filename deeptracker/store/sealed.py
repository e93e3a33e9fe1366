"""JSON documents that carry the checksum of their own bytes: what counts, and what arrays say of themselves.

The checksum stands last, so that the bytes before it are what it is of: in a marker as its last member, in Zarr's
metadata as the last of the attributes, where every Zarr tool takes it for an attribute. One flipped byte anywhere is
noticed: in the text by the checksum, in the checksum itself because it then fits nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import google_crc32c

from deeptracker.errors import DamagedRunError
from deeptracker.store import plausible

SEAL = "crc32c"
_END = re.compile(rb'(,|(?<=\{))"crc32c":"([0-9a-f]{8})"(\}\}?)\Z')
_LENGTH = len(',"crc32c":"00000000"}}')


class BrokenSealError(DamagedRunError, ValueError):
    """A document is not what was written."""


def _sealed(text: str, closing: str) -> bytes:
    body = text.removesuffix(closing).encode()
    comma = b"" if body.endswith(b"{") else b","
    return body + comma + f'"{SEAL}":"{google_crc32c.value(body):08x}"{closing}'.encode()


def seal(document: Mapping[str, Any]) -> bytes:
    """A marker as bytes, its checksum last."""
    return _sealed(_text(document), "}")


def seal_metadata(document: Mapping[str, Any]) -> bytes:
    """The content of a ``zarr.json`` as bytes, the checksum last among its attributes."""
    attributes = {name: value for name, value in document["attributes"].items() if name != SEAL}
    return _sealed(_text({**_without(document, "attributes"), "attributes": attributes}), "}}")


def _without(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def is_sealed(raw: bytes) -> bool:
    """Whether bytes end with a checksum; those of another tool, or of an earlier schema version, do not."""
    return _END.search(raw[-_LENGTH:]) is not None


def unseal(raw: bytes) -> Any:
    """The document that bytes hold, without its checksum, which is compared where it is there.

    Raises
    ------
    BrokenSealError
        The checksum does not fit.
    ValueError
        The bytes are no JSON.
    """
    end = _END.search(raw[-_LENGTH:])
    if end is None:
        return plausible.parsed(raw)
    body = raw[: len(raw) - (len(end.group(0)))]
    if google_crc32c.value(body) != int(end.group(2), 16):
        raise BrokenSealError("its checksum does not fit its bytes")
    return plausible.parsed(body + end.group(3))


__all__ = ["SEAL", "BrokenSealError", "is_sealed", "seal", "seal_metadata", "unseal"]
