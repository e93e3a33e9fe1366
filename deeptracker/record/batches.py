"""Ids and labels of a training batch as a row of ``batches``: direct evidence for faults of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deeptracker.errors import InputError
from deeptracker.record.hostcopy import HostCopy

Array = np.ndarray[Any, Any]
_KINDS: dict[str, type[np.signedinteger[Any]]] = {"batch_ids": np.int64, "batch_labels": np.int32}


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was told; on a device its numbers may still be on their way."""

    size: int
    given: dict[str, Array | HostCopy]

    def ready(self) -> bool:
        """Whether ``row`` would not wait."""
        return all(values.ready() for values in self.given.values() if isinstance(values, HostCopy))

    def row(self) -> dict[str, Array]:
        """``batch_ids`` int64 and ``batch_labels`` int32, −1 where not given and past the end.

        Raises
        ------
        InputError
            A number of a device's that these do not hold.
        """
        out: dict[str, Array] = {name: np.full(self.size, -1, kind) for name, kind in _KINDS.items()}
        for name, values in self.given.items():
            array = values.numpy() if isinstance(values, HostCopy) else values
            _fits(name, array)
            out[name][: len(array)] = array
        return out


class Batches:
    """Batches of one size: the first one's. A shorter one (the last of an epoch) is filled up with −1."""

    def __init__(self) -> None:
        self.size: int | None = None

    def take(self, ids: Any, labels: Any) -> Batch:
        """The batch of a step.

        Raises
        ------
        InputError
            Not one integer a sample, numbers that are too large, different lengths, or longer than the first batch.
        """
        told = {"batch_ids": ids, "batch_labels": labels}
        given = {name: _integers(name, value) for name, value in told.items() if value is not None}
        sizes = {len(values) for values in given.values()}
        if len(sizes) != 1:
            raise InputError(f"step(): {sorted(sizes)} batch_ids and batch_labels: give one of each a sample")
        count = sizes.pop()
        self.size = count if self.size is None else self.size
        if count > self.size:
            raise InputError(f"step(): a batch of {count} after a first one of {self.size}: the first is the largest")
        return Batch(
            self.size,
            {name: HostCopy(v) if isinstance(v, torch.Tensor) else v for name, v in given.items()},
        )


def _integers(name: str, values: Any) -> Array | torch.Tensor:
    """One integer a sample: the caller's tensor where it lies on a device, else a copy."""
    if isinstance(values, torch.Tensor) and values.device.type != "cpu":
        device = torch.atleast_1d(values)
        return _checked(name, device, not (device.is_floating_point() or device.is_complex()))
    array = np.atleast_1d(np.asarray(values.detach() if isinstance(values, torch.Tensor) else values)).copy()
    _checked(name, array, array.dtype.kind in "iu")
    _fits(name, array)
    return array


def _fits(name: str, values: Array) -> None:
    """InputError where a number is too large to be kept: it would come back as another one."""
    limits = np.iinfo(_KINDS[name])
    if len(values) and not (limits.min <= int(values.min()) and int(values.max()) <= limits.max):
        raise InputError(
            f"step(): {name} from {values.min()} to {values.max()}: must lie within {limits.min} to {limits.max}"
        )


def _checked(name: str, values: Any, whole: bool) -> Any:
    if values.ndim != 1 or not whole:
        shape = tuple(values.shape)
        raise InputError(f"step(): {name} must be one integer a sample, not {values.dtype} of shape {shape}")
    return values


__all__ = ["Batch", "Batches"]
