"""The processes of a distributed training: who writes, and how answers of the others come to that one.

Answers travel through the key-value store of the process group, not through a collective: a process that never
calls can hang nobody.
"""

from __future__ import annotations

import io
import itertools
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import distributed

from deeptracker.errors import InputError

Array = np.ndarray[Any, Any]
Part = dict[str, Array]

WAIT_SECONDS = 30.0  # for the answers of the other ranks to one pass
GREETING_SECONDS = 5.0  # for the others to have made their recorders, at the first pass
_KEPT = 2  # passes of one view that lie in the store when nobody collects them
_number = itertools.count()  # the n-th recorder of each process belongs to the n-th of the others


def rank() -> int:
    """Number of this process, 0 where there is only one."""
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def world_size() -> int:
    """Number of processes, 1 where the training is not distributed."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether each process holds a part of the parameters only, so that reading one takes all processes (FSDP2)."""
    return any(hasattr(parameter, "full_tensor") for parameter in model.parameters())


class Exchange:
    """Brings the answers of all ranks to rank 0. One for each recorder, made by every rank.

    Rank 0 waits for the ranks that have a recorder, ``WAIT_SECONDS`` at most and in vain only once; after that it
    goes on alone.
    """

    def __init__(self) -> None:
        self.rank, self.size = rank(), world_size()
        self.silent: list[int] = []  # ranks that rank 0 gave up
        store = None if self.size == 1 else distributed.distributed_c10d._get_default_store()
        self._alone = store is None  # MPI has none: then only the answers of rank 0 are recorded
        self._greeted = False
        self._others: list[int] = []
        self._posted: dict[str, deque[str]] = defaultdict(deque)
        if store is not None:
            self._store = distributed.distributed_c10d.PrefixStore(f"deeptracker/{next(_number)}", store)
            if self.rank:
                self._store.set(f"here/{self.rank}", "1")

    def post(self, view: str, step: int, part: Mapping[str, Array]) -> None:
        """Leave this rank's answers for rank 0, and go on."""
        if self._alone or self._store.check(["alone"]):
            return
        key = f"{view}/{step}/{self.rank}"
        buffer = io.BytesIO()
        np.savez(buffer, **{name: _plain(array) for name, array in part.items()})  # type: ignore[arg-type]
        self._store.set(key, buffer.getvalue())  # type: ignore[arg-type]  # takes bytes as they are
        mine = self._posted[view]
        mine.append(key)
        while len(mine) > _KEPT:
            self._delete(mine.popleft())

    def collect(self, view: str, step: int, own: Part) -> Part:
        """The answers of all ranks to one pass, merged; see ``merge``."""
        parts = [own]
        deadline = time.monotonic() + WAIT_SECONDS
        for other in [] if self._alone else self._greet():
            key = f"{view}/{step}/{other}"
            try:
                self._store.wait([key], timedelta(seconds=max(deadline - time.monotonic(), 0.01)))
                with np.load(io.BytesIO(self._store.get(key)), allow_pickle=False) as part:
                    parts.append({name: part[name] for name in part.files})
            except RuntimeError:  # that it took too long
                self.silent.append(other)
                continue
            self._delete(key)
        if self.silent and not self._alone:
            self._alone = True
            self._store.set("alone", "1")
        return merge(parts)

    def _greet(self) -> list[int]:
        """The ranks that have a recorder."""
        if not self._greeted:
            self._greeted = True
            keys = {other: f"here/{other}" for other in range(1, self.size)}
            with suppress(RuntimeError):
                self._store.wait(list(keys.values()), timedelta(seconds=min(GREETING_SECONDS, WAIT_SECONDS)))
            self._others = [other for other, key in keys.items() if self._store.check([key])]
        return self._others

    def _delete(self, key: str) -> None:
        with suppress(RuntimeError):  # not every kind of store can
            self._store.delete_key(key)


def merge(parts: Sequence[Part]) -> Part:
    """One part of several ranks' answers: by ``ids``, each image once (samplers fill up with repeated ones).

    Raises
    ------
    InputError
        The parts differ and do not say whose answers they are, or hold different arrays.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if any(part.keys() != first.keys() for part in parts):
        raise InputError("validation(): the ranks gave different arrays; give the same ones on every rank")
    if "ids" not in first:
        if all(_equal(first[name], part[name]) for part in parts for name in first):
            return first  # every rank evaluated all
        raise InputError("validation(): every rank gave answers of its own; say with ids= which images they are of")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in first}
    _, kept = np.unique(joined["ids"], return_index=True)
    return {name: array[np.sort(kept)] for name, array in joined.items()}


def _plain(array: Array) -> Array:
    """An array that can be saved without pickling."""
    return np.array(array.tolist(), "U") if array.dtype.kind in "OT" else array


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f")


__all__ = ["Exchange", "Part", "is_sharded", "merge", "rank", "world_size"]
