"""Checkpoints and answers made with intent: pickles that call, archives that burst, headers that lie."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import Any

import numpy as np

from soak.hostile import made
from soak.hostile.watch import CANARY

_TOUCH = f"touch /tmp/{CANARY}"
_HUGE = 2**60


def _calls(module: str, name: str, argument: str) -> bytes:
    """A pickle that calls a function when it is read."""
    return f"\x80\x02c{module}\n{name}\n(S{argument!r}\ntR.".encode("latin-1")


def _zip(packed: bool = False, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_pkl", ".pkl"), content)
    return file.getvalue()


def _saved(content: Any) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def torch_files() -> dict[str, bytes]:
    import torch

    system, code = _calls("os", "system", _TOUCH), _calls("builtins", "exec", f"open('/tmp/{CANARY}', 'w')")
    inside: dict[str, Any] = {"fc.weight": torch.ones(2, 2)}
    for _ in range(40):
        inside = {"a": inside, "b": inside}
    itself: dict[str, Any] = {"fc.weight": torch.ones(2, 2)}
    itself["model"] = itself
    place = torch.zeros(2, 1, dtype=torch.long)
    sparse = torch.sparse_coo_tensor(place, torch.ones(1), (2**30, 2**30), check_invariants=True)
    odd = {"state": [], "param_groups": [{"params": [{}], "lr": "x", "betas": [1.0, 1.0]}]}
    return {
        "system": system,
        "system-in-archive": _zip(archive__data_pkl=system, archive__version=b"3"),
        "exec-in-archive": _zip(archive__data_pkl=code, archive__version=b"3"),
        "packed-archive": _zip(True, archive__data_pkl=b"\x80\x02N." + bytes(300_000), archive__version=b"3"),
        "one-value-shown-many-times": _saved({"fc.weight": torch.ones(1, 1).expand(2**20, 2**20)}),
        "sparse": _saved({"fc.weight": sparse}),
        "dictionaries-in-dictionaries": _saved({"model": inside}),
        "dictionary-in-itself": _saved(itself),
        "optimizer-of-nothing": _saved({"model": {"fc.weight": torch.ones(2, 2)}, "optimizer": odd, "epoch": 1e400}),
    }


def safetensors_files() -> dict[str, bytes]:
    one = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    names = [
        "\x1b[2J.weight",
        "nul\0l.weight",
        "../../x.weight",
        "9" * 5000 + ".weight",
        "².weight",
        "\u202ex.weight",
    ]
    large = {"dtype": "F32", "shape": [1000, 2500], "data_offsets": [0, 10_000_000]}
    return {
        "names": made.safetensor(dict.fromkeys(names, one), bytes(16)),
        "nested": made.safetensor(b"[" * 5000, b""),
        "length": struct.pack("<Q", 2**63) + b"{}",
        "outside": made.safetensor({"a.weight": {**one, "data_offsets": [-16, _HUGE]}}, bytes(16)),
        "shape": made.safetensor({"a.weight": {**one, "shape": [_HUGE, 0, 16]}}, bytes(16)),
        "not-a-number": made.safetensor(
            {"__metadata__": {"step": "nan", "epoch": "inf"}, "a.weight": one}, bytes(16)
        ),
        "cut-off": made.safetensor({f"l{i}.weight": large for i in range(3)}, bytes(16)),
        "mean-without-axis": made.safetensor(
            {"a.weight": one, "b.running_mean": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}, bytes(16)
        ),
    }


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _npz(header: str, data: bytes = b"", name: str = "a.weight.npy") -> bytes:
    return _zip(**{name: npy(header, data)})


FLOAT = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"


def weights() -> dict[str, bytes]:
    pickled = pickle.dumps(np.array([1]))
    return {
        "object": _npz("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickled),
        "system": _npz("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", _calls("os", "system", _TOUCH)),
        "shape": _npz(FLOAT % f"({_HUGE},)"),
        "shape-that-memory-could-hold": _npz(FLOAT % "(4000000000, 2)"),
        "header-cut-off": _npz("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2"),
        "header-is-code": _npz(f"__import__('os').system('{_TOUCH}')"),
        "path": _npz(FLOAT % "(2, 2)", bytes(16), "../../x.weight.npy"),
        "named-twice": _zip(**{"a.weight": bytes(4), "a.weight.npy": npy(FLOAT % "(2, 2)", bytes(16))}),
    }


def answers() -> dict[str, bytes]:
    return {
        "nobody": made.npz(logits=np.empty((0, 0, 0)), target=np.empty(0)),
        "classes-without-axis": made.npz(predicted=np.zeros((1, 3)), classes=np.array("a")),
        "no-passes": made.npz(predicted=np.zeros((0, 3)), target=np.arange(3)),
        "targets-of-two-axes": made.npz(predicted=np.zeros((1, 3)), target=np.array([["a", "b"]])),
        "class-too-large": made.npz(predicted=np.full((1, 3), 1e300), target=np.full(3, 2**62)),
        "moments": made.npz(predicted=np.full((1, 3), "2020-01-01", "<M8[s]"), iteration=np.array([1], "<m8[s]")),
    }


__all__ = ["FLOAT", "answers", "npy", "safetensors_files", "torch_files", "weights"]
