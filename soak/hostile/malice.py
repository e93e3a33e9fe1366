"""Inputs made with intent: what somebody would send who wants code run, files written, memory or time taken.

python -m soak.hostile.malice tests/corpus   # writes them, a folder a target
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import blosc

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


def _torch() -> dict[str, bytes]:
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


def _safetensors() -> dict[str, bytes]:
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


def _npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _npz(header: str, data: bytes = b"", name: str = "a.weight.npy") -> bytes:
    return _zip(**{name: _npy(header, data)})


_FLOAT = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"


def _weights() -> dict[str, bytes]:
    pickled = pickle.dumps(np.array([1]))
    return {
        "object": _npz("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickled),
        "system": _npz("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", _calls("os", "system", _TOUCH)),
        "shape": _npz(_FLOAT % f"({_HUGE},)"),
        "shape-that-memory-could-hold": _npz(_FLOAT % "(4000000000, 2)"),
        "header-cut-off": _npz("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2"),
        "header-is-code": _npz(f"__import__('os').system('{_TOUCH}')"),
        "path": _npz(_FLOAT % "(2, 2)", bytes(16), "../../x.weight.npy"),
        "named-twice": _zip(**{"a.weight": bytes(4), "a.weight.npy": _npy(_FLOAT % "(2, 2)", bytes(16))}),
    }


def _answers() -> dict[str, bytes]:
    return {
        "nobody": made.npz(logits=np.empty((0, 0, 0)), target=np.empty(0)),
        "classes-without-axis": made.npz(predicted=np.zeros((1, 3)), classes=np.array("a")),
        "no-passes": made.npz(predicted=np.zeros((0, 3)), target=np.arange(3)),
        "targets-of-two-axes": made.npz(predicted=np.zeros((1, 3)), target=np.array([["a", "b"]])),
        "class-too-large": made.npz(predicted=np.full((1, 3), 1e300), target=np.full(3, 2**62)),
        "moments": made.npz(predicted=np.full((1, 3), "2020-01-01", "<M8[s]"), iteration=np.array([1], "<m8[s]")),
    }


def _events() -> dict[str, bytes]:
    nan, inf = float("nan"), float("inf")
    return {
        "number-without-end": b"\x10" + b"\xff" * 3000,
        "length-past-the-end": made.varint(5 << 3 | 2) + made.varint(2**63) + b"x",
        "names": made.event(1, *(made.scalar(tag, 1.0) for tag in (
            b"../../x", b"/etc/passwd", b"nul\0l", b"zarr.json", b"\x1b[2J", b"a\\..\\b", b"iteration", b"x" * 300,
            b"."
        ))),
        "last-step": made.event(2**63 - 1, made.scalar(b"loss", 1.0)),
        "step-past-the-last": made.event(2**64 - 1, made.scalar(b"loss", 1.0)),
        "counts": made.event(1, made.histogram(b"a.weight", [nan, inf], [nan, inf]),
                             made.histogram(b"b.weight", [1.0], [1e300], nan, inf)),
        "counts-below-zero": made.event(1, made.histogram(b"a.weight", [1.0, -1.0], [-1.0, 1.0])),
        "tensor-of-nothing": made.event(1, made.tensor(b"w", b"histograms", 2, b""), made.tensor(b"v", b"\xff", 9,
        b"x")),
    }  # fmt: skip


def _tables() -> dict[str, dict[str, bytes]]:
    nested = b'{"step": ' + b"[" * 2000 + b"]" * 2000 + b"}\n"
    return {
        "table-csv": {
            "iteration": b"iteration,loss\n1e300,1\n",
            "names": b"iteration,\x1b[2J,nul\0l,../../x,zarr.json,param_group\n1,1,2,3,4,5\n",
            "no-end": b"iteration," + b"loss," * 400,
            "quote": b'iteration,loss\n1,"\n',
        },
        "table-jsonl": {
            "nested": nested,
            "number": b'{"step": ' + b"9" * 5000 + b', "loss": 1}\n',
            "half-a-letter": b'{"step": 1, "\\ud800": 1}\n',
            "lists": b'{"step": [1, 2], "loss": 1}\n{"step": 1, "loss": {"a": 1}}\n',
        },
        "table-parquet": {
            "lists": made.parquet_of(iteration=[[1.0], [2.0]], loss=[1.0, 2.0]),
            "bytes": made.parquet_of(iteration=[1, 2], image=[b"\xff", b"a"], predicted=[b"\xff", b"0"]),
        },
    }  # fmt: skip


def _profiles() -> dict[str, bytes]:
    lines = ["a0: &a0 {k: v}"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    merged = ["a0: &a0 {k: v}"] + [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
    return {
        "system": f"kind: !!python/object/apply:os.system ['{_TOUCH}']\n".encode(),
        "lists-of-lists": "\n".join(["kind: local", *lines, "workers: *a29"]).encode(),
        "merged-and-merged": "\n".join(["kind: local", *merged]).encode(),
        "nested": b"kind: " + b"[" * 5000,
        "number": b"kind: local\nworkers: " + b"9" * 5000,
        "size": b"kind: local\nmemory: 1e400GiB\n",
        "endless": b"kind: local\nwait: .inf\n",
        "date": b"kind: 2020-13-45\n",
        "file": b'kind: ssh\nhosts: [a]\nkey: "a\\0b"\n',
        "home-of-nobody": b"kind: ssh\nhosts: [a]\nkey: ~nobody1234/x\n",
        "second-line": b'kind: slurm\nmemory: 1GiB\npartition: "a\\r#SBATCH --x"\n',
    }


def _addresses() -> dict[str, bytes]:
    return {
        "numbers": b"start=1e999&stop=-1e999&event=99999999999999999999&pins=" + "²".encode() + b"&pins=-1",
        "names": b"layers=../../x&layers=%00&run=../../etc&only=(.*)*x&among=%1b[2J&opened=" + b"x" * 600,
        "many": b"&".join(b"a=" for _ in range(1100)),
    }


def _packed(content: bytes) -> bytes:
    packed: bytes = blosc.compress(content, b"lz4", 1, 0)
    return packed


def _run() -> dict[str, dict[str, bytes]]:
    marker: dict[str, Any] = {"schema_version": 1, "run": "r", "generation": 1, "cuts": 0, "closed": False,
    "when": "",
                              "attributes": {}, "groups": {}, "tail": [], "tables": {}}  # fmt: skip
    position = {"dims": ["iteration"], "dtype": "int64", "shape": []}
    growth: dict[str, Any] = {"axis": "iteration", "shard_rows": 16, "shards": 0, "tail": 8, "first": 0, "last": 7,
                              "columns": {"iteration": position}}  # fmt: skip

    def commit(**changed: Any) -> bytes:
        return json.dumps({**marker, **changed}).encode()

    def group(columns: Any = None, **changed: Any) -> bytes:
        columns = {"iteration": position, **(columns or {})}
        return commit(groups={"scalars": {**growth, "columns": columns, **changed}})

    def stage(name: str, **changed: Any) -> bytes:
        entry = {"version": 1, "generation": 1, "seconds": 1.0, "when": "", "groups": {}, **changed}
        return json.dumps({"schema_version": 1, "stages": {name: entry}}).encode()

    array = {"dtype": "<i8", "shape": [2], "offset": 0, "crc": 0}
    tail = {key: json.dumps({"scalars": {"start": 3, "arrays": {"iteration": {**array, **change}}}}).encode()
            for key, change in (("shape", {"shape": [_HUGE]}), ("offset", {"offset": _HUGE}), ("object",
            {"dtype": "|O"}),
                                ("before-the-file", {"offset": -64}))}  # fmt: skip
    remark = {"iteration": 2, "kind": "anomaly", "cause": "x", "layers": [[]], "classes": []}
    document: dict[str, Any] = {
        "zarr_format": 3, "node_type": "array", "shape": [3], "data_type": "float64", "fill_value": "NaN",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [65536]}}, "attributes": {},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "storage_transformers": [],
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "dimension_names": ["iteration"],
    }  # fmt: skip

    def zarr(**changed: Any) -> bytes:
        return b"\0" + json.dumps({**document, **changed}).encode()

    chunk = {"name": "regular", "configuration": {"chunk_shape": [_HUGE]}}
    few, texts = _packed(bytes(64)), _packed(struct.pack("<II", 2**31 - 1, 0))
    return {
        "run-commit": {
            "tail-above": commit(tail=[{"name": "../../x", "size": 8, "spans": {}}]),
            "table-above": commit(tables={"../../x": 1}),
            "table-version": commit(tables={"architecture": "1/../../x"}),
            "group-above": commit(groups={"../x": growth}),
            "variable-above": group({"../../x": position}),
            "rows": group(tail=_HUGE),
            "rows-that-memory-could-hold": commit(
                groups={"scalars": {**growth, "tail": 2**33, "last": 2**33}},
                tail=[{"name": "000000009.tail", "size": 2**40, "spans": {"scalars": [0, 2**33]}}],
            ),
            "shards": group(shards=2**33),
            "object": group({"loss": {**position, "dtype": "|O"}}),
            "row": group({"loss": {"dims": ["iteration", "a"], "dtype": "float64", "shape": [_HUGE]}}),
            "axis": group({"loss": {"dims": ["iteration", "loss"], "dtype": "float64", "shape": [2]}}),
            "thinned": group(thinned={"spans": [[0, _HUGE, 0]], "renewed": None}),
            "half-a-letter": commit(attributes={"model": "\ud800"}),
            "nested": commit().replace(b'"attributes": {}', b'"attributes": ' + b'{"a":' * 1500 + b"1" + b"}" * 1500),
            "version": commit(schema_version=1e400),
        },
        "run-stages": {
            "above": stage("..", groups={"../x": 1}),
            "version-above": stage("anomalies", version="../../../x", groups={"anomalies/events": 1}),
            "group-above": stage("anomalies", groups={"anomalies/../../x": 1}),
            "no-rows": stage("anomalies", groups={"anomalies/events": 0}),
        },
        "run-tail": tail,
        "run-remarks": {"names": json.dumps({"remarks": [remark]}).encode(), "nested": b"[" * 5000},
        "run-zarr": {
            "shape": zarr(shape=[_HUGE]),
            "chunk": zarr(chunk_grid=chunk, shape=[3]),
            "codec": zarr(codecs=[{"name": "numcodecs.pickle"}]),
            "dtype": zarr(data_type="object"),
            "attributes": zarr(attributes=[]),
        },
        "run-values": {
            "less-than-the-chunk": b"\0" + few,
            "texts-without-end": b"\2" + texts,
            "events-that-are-none": b"\3" + _packed(struct.pack("<II", 1, 2) + b"[]"),
            "index-outside": b"\4" + struct.pack("<QQ", 2**63, 2**62),
            "cut-off": b"\0\2\1",
        },
    }


def large() -> dict[str, dict[str, bytes]]:
    """Small files that stand for far more than they are; too large to be kept, so they are made anew."""
    import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.weight.npy", _npy(_FLOAT % "(100000000, 1)", bytes(400_000_000)))
    nothing = pa.nulls(30_000_000)
    return {
        "checkpoint-npz": {"four-hundred-million-zeros": file.getvalue()},
        "table-parquet": {"nothing-sixty-million-times": made.parquet_of(iteration=nothing, loss=nothing)},
        "events": {"names-once-each": made.framed(
            made.event(step, made.scalar(f"t{step}".encode(), 1.0)) for step in range(5000))},
    }  # fmt: skip


def every() -> dict[str, dict[str, bytes]]:
    """Target → name → input."""
    return {
        "checkpoint-pt": _torch(),
        "checkpoint-safetensors": _safetensors(),
        "checkpoint-npz": _weights(),
        "answers-npz": _answers(),
        "event-records": _events(),
        **_tables(),
        "profile": _profiles(),
        "address": _addresses(),
        **_run(),
    }


def main() -> None:
    for target, inputs in every().items():
        folder = Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in inputs.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()

__all__ = ["every", "large"]
