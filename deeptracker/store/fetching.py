"""Files of a Zarr array, brought from a bucket into memory before they are decoded: a request a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from deeptracker.store import objects


def bring(bucket: str, key: str) -> Any:
    """A file as a buffer of Zarr's."""
    raw = np.frombuffer(objects.view(bucket, key), np.uint8)
    return default_buffer_prototype().buffer.from_array_like(raw)


def in_memory(files: Iterable[tuple[str, Any]]) -> MemoryStore:
    """A store of these files."""
    return MemoryStore(dict(files), read_only=True)


__all__ = ["bring", "in_memory"]
