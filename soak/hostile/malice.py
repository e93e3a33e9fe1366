"""Inputs made with intent: what somebody would send who wants code run, files written, memory or time taken.

python -m soak.hostile.malice tests/corpus   # writes them, a folder a target
"""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

from numcodecs import blosc

from soak.hostile import made
from soak.hostile.watch import CANARY
from soak.hostile.weights import FLOAT, answers, npy, safetensors_files, torch_files, weights

_TOUCH = f"touch /tmp/{CANARY}"
_HUGE = 2**60


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
        archive.writestr("a.weight.npy", npy(FLOAT % "(100000000, 1)", bytes(400_000_000)))
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
        "checkpoint-pt": torch_files(),
        "checkpoint-safetensors": safetensors_files(),
        "checkpoint-npz": weights(),
        "answers-npz": answers(),
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
