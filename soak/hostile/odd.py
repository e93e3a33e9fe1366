"""Inputs that are sound as files, and odd in what they hold: columns of every type, arrays of every shape."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
from hypothesis import strategies as st

from soak.hostile import changes, made

_NAMES = ("iteration", "step", "epoch", "image", "id", "predicted", "logits", "probs", "target", "label", "correct",
          "loss",
          "confidence", "classes", "x", "..", "a\nb", "", "Iteration", "c", "zarr.json", "learning_rate", "wall_time",
          "param_group", "grad_norm")  # fmt: skip
_CELLS: tuple[st.SearchStrategy[Any], ...] = (
    st.integers(-1, 4),
    st.sampled_from([0, 1, 2**31, 2**53, 2**62]),
    st.sampled_from([0.0, 1.0, 0.5, -1.0, 1e300, float("nan"), float("inf")]),
    st.sampled_from(["a", "b", "", "1", "x\ny", "\x1b[0m"]),
    st.booleans(),
    st.sampled_from([b"", b"a", b"\xff"]),
    st.sampled_from([decimal.Decimal("1.5"), decimal.Decimal(2)]),
    st.sampled_from([datetime.datetime(2020, 1, 1), datetime.datetime(1970, 1, 2)]),
    st.sampled_from([datetime.timedelta(days=1), datetime.timedelta(0)]),
    st.lists(st.sampled_from([0.0, 1.0, float("nan")]), max_size=3),
    st.lists(st.lists(st.integers(0, 2), max_size=2), max_size=2),
    st.fixed_dictionaries({"x": st.integers(0, 1)}),
    st.none(),
)


def parquet(draw: changes.Draw, data: bytes) -> bytes:
    """A table of our columns, each of any type, with cells that lack."""
    rows = draw(st.integers(0, 4))
    columns: dict[str, Any] = {}
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=1, max_size=5, unique=True))
    for name in [*draw(st.sampled_from([["iteration"], ["iteration", "image", "predicted"], []])), *names]:
        cell = draw(st.sampled_from(_CELLS)) if name not in columns else st.integers(0, 3)
        cell = cell if draw(st.integers(0, 3)) else st.none() | cell
        columns[name] = [draw(cell) for _ in range(rows)]
    try:
        return made.parquet_of(**columns)
    except Exception:  # pyarrow takes no such column: no such file either
        return changes.of_bytes(draw, data)


_KINDS = ("<f4", "<f8", "<f2", "<i8", "|i1", "<u8", "|b1", "<U3", "|S2", "<c8", "<M8[s]", "<m8[s]", "<f16")


def answers(draw: changes.Draw, data: bytes) -> bytes:
    """Arrays of our names, each of any shape and kind."""
    arrays: dict[str, Any] = {}
    for name in draw(
        st.lists(st.sampled_from([name for name in _NAMES if name]), min_size=1, max_size=5, unique=True)
    ):
        shape = draw(st.sampled_from([(), (0,), (1,), (2,), (3,), (2, 3), (1, 2, 3), (0, 3), (2, 0), (2, 2, 2, 2)]))
        value = draw(st.sampled_from([0, 1, 2, -1, 300, 40_000]))
        with np.errstate(all="ignore"):
            arrays[name] = np.full(shape, value, "<i8").astype(draw(st.sampled_from(_KINDS)))
    return made.npz(**arrays)


_VALUES = ("1", "-1", "0", ".inf", ".nan", "1e999", "true", "~", "[]", "{}", "[a]", "[[a]]", "{a: b}",
           "{ca: a, cert: b, key: c}",
           "'a\\nb'", '"a\\nb"', '"\\e[0m"', "2020-01-01", "2020-01-01 00:00:00", "0x10", "0o7", "1:30:00",
           "!!binary aGk=",
           "!!set {a}", "!!python/name:os.system", "4GiB", "4 GiB", "1e400GiB", "nanGiB", "-1GiB", "GiB", "0GiB",
           "18446744073709551616", "../../x", "/etc/passwd", "~root/x", "~nobody1234/x", '"\\0"', "&a [*a]",
           "NodePort",
           "{1: 2}", "[1]", "&a {b: *a}", "tcp://[::1", "'" + "9" * 5000 + "'", "9" * 5000)  # fmt: skip


def profile(draw: changes.Draw, data: bytes) -> bytes:
    """A kind, and keys of it with values of every sort."""
    from deeptracker.cluster.keys import KEYS

    kind = draw(st.sampled_from(sorted(KEYS)))
    keys = {name for name, key in KEYS[kind].items() if key.required}
    keys |= set(draw(st.lists(st.sampled_from(sorted(KEYS[kind])), max_size=3)))
    usual = {"hosts": "[a]", "memory": "4GiB", "image": "i", "address": "tcp://a:1"}
    odd = draw(st.sampled_from(sorted(keys) or ["workers"]))
    lines = [
        f"{name}: {draw(st.sampled_from(_VALUES)) if name == odd else usual.get(name, '1')}" for name in sorted(keys)
    ]
    return "\n".join([f"kind: {kind}", *lines]).encode()


__all__ = ["answers", "parquet", "profile"]
