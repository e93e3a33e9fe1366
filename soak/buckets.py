"""An object store that is slow, refuses, breaks off and loses answers under a training that is recorded to it."""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from deeptracker.errors import UnreachableError
from deeptracker.store import objects
from soak.figures import Figure
from soak.training import broken, train

STEPS = 30
AT_SERVER = ["500", "503", "403", "slow", "reset", "lost", "torn"]
AT_CLIENT = ["refused", "answer lost"]


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """Trainings to an S3 server on this machine, of which some requests go wrong between two moments."""
    draw, wrong, said, hit = random.Random(seed), Counter[str](), 0, 0
    with server() as store:
        for number in range(times):
            kind = [*AT_SERVER, *AT_CLIENT, "all"][number % (len(AT_SERVER) + len(AT_CLIENT) + 1)]
            found, faulty, troubled = trained(kind, draw, f"s3://soak/{seed}-{number}/run", store)
            wrong += Counter({f"{kind}: {what}": n for what, n in found.items()})
            said, hit = said + faulty, hit + troubled
    return [
        Figure(
            "recording to an object store that is slow, refuses (403, 500, 503), breaks off, loses answers",
            f"{times} trainings",
            f"{hit:,} requests hit, {said} trainings had a fault, said once each",
            wrong.total(),
            "promises broken" + "".join(f"; {what} ({n})" for what, n in wrong.items()),
        )
    ]


def trained(kind: str, draw: random.Random, path: str, store: Any) -> tuple[Counter[str], bool, int]:
    """One training; promises it did not keep, whether it had a fault, and how many requests went wrong."""
    begin, share, strict = draw.randint(0, STEPS), draw.choice([0.05, 0.3, 1.0]), draw.random() < 0.2
    end = draw.choice([None, draw.randint(begin, STEPS)])
    if kind == "slow":
        share = 0.1
    hit = 0

    def trouble(method: str, path: str) -> str:
        nonlocal hit
        if draw.random() >= share:
            return ""
        hit += 1
        return draw.choice(AT_SERVER) if kind == "all" else kind

    def fault(begins: bool) -> None:
        if kind in AT_CLIENT:
            objects.put = _put(draw, share, kind == "answer lost", trouble) if begins else _PUT
        else:
            store.trouble = trouble if begins else lambda method, path: ""

    def meanwhile(step: int) -> None:
        if step == begin:
            fault(True)
        elif step == end:
            fault(False)

    try:
        told = train(path, STEPS, meanwhile, strict=strict)
    finally:
        fault(False)
    if told.raised is None and end is not None and end < STEPS:
        told.reported = STEPS - 1  # all was well again before the end: nothing may be missing
    return broken(path, told, STEPS, strict, few=True), told.faults > 0, hit


_PUT = objects.put


def _put(draw: random.Random, share: float, done: bool, trouble: Callable[[str, str], str]) -> Callable[..., str]:
    """PUTs of which some are not done, or done and not answered, at the layer of the store."""

    def put(bucket: str, key: str, content: bytes, over: str | None = "*") -> str:
        if not trouble("PUT", key):
            return _PUT(bucket, key, content, over)
        if done:
            _PUT(bucket, key, content, over)
        raise UnreachableError(f"s3://{bucket}/{key}: no answer")

    return put


@contextlib.contextmanager
def server() -> Iterator[Any]:
    """An S3 server on loopback with the bucket ``soak``, and an environment that leads there; patience is short."""
    from soak.objectstore import ObjectStore

    store, before = ObjectStore(), dict(os.environ)
    patience = objects._TRIES, objects._PATIENCE, objects._REQUEST
    try:
        os.environ.update(store.environment)
        objects._TRIES, objects._PATIENCE, objects._REQUEST = 1, timedelta(seconds=1), timedelta(seconds=3)
        objects._client.cache_clear()
        assert store.request("PUT", "/soak") in (200, 409)
        yield store
    finally:
        objects._TRIES, objects._PATIENCE, objects._REQUEST = patience
        objects._client.cache_clear()
        os.environ.clear()
        os.environ.update(before)
        store.stop()


__all__ = ["attack", "server"]
