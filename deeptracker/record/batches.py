"""Ids and labels of a training batch as a row of ``batches``: direct evidence for faults of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from deeptracker.errors import InputError

Array = np.ndarray[Any, Any]


class Batches:
    """Batches of one size: the first one's. A shorter one (the last of an epoch) is filled up with −1."""

    def __init__(self) -> None:
        self.size: int | None = None

    def row(self, ids: Any, labels: Any) -> dict[str, Array]:
        """``batch_ids`` int64 and ``batch_labels`` int32, −1 where not given and past the end.

        Raises
        ------
        InputError
            Not one integer a sample, of different lengths, or longer than the first batch.
        """
        given = {"batch_ids": ids, "batch_labels": labels}
        arrays = {name: _integers(name, value) for name, value in given.items() if value is not None}
        sizes = {len(array) for array in arrays.values()}
        if len(sizes) != 1:
            raise InputError(f"step(): {sorted(sizes)} batch_ids and batch_labels: give one of each a sample")
        count = sizes.pop()
        self.size = count if self.size is None else self.size
        if count > self.size:
            raise InputError(f"step(): a batch of {count} after a first one of {self.size}: the first is the largest")
        out: dict[str, Array] = {
            "batch_ids": np.full(self.size, -1, np.int64),
            "batch_labels": np.full(self.size, -1, np.int32),
        }
        for name, array in arrays.items():
            out[name][:count] = array
        return out


def _integers(name: str, values: Any) -> Array:
    array = np.atleast_1d(np.asarray(values.detach().cpu() if hasattr(values, "detach") else values))
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"step(): {name} must be one integer a sample, not {array.dtype} of shape {array.shape}")
    return array


__all__ = ["Batches"]
