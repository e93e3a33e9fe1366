"""Sound inputs, made here by the libraries that users save with; the attacks change them."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import google_crc32c
import numpy as np

WEIGHT = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)


@lru_cache(maxsize=1)
def torch_files() -> list[bytes]:
    """State dicts alone, inside a checkpoint with an optimizer, and in the older format."""
    import torch

    weights = {"conv1.weight": torch.from_numpy(WEIGHT), "conv1.bias": torch.zeros(2)}
    weights |= {f"bn1.{name}": torch.ones(2) for name in ("weight", "bias", "running_mean", "running_var")}
    optimizer = {
        "state": {0: {"momentum_buffer": torch.ones(2, 3, 2, 2)}, 1: {"momentum_buffer": torch.ones(2)}},
        "param_groups": [{"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "params": [0, 1]}],
    }
    contents: list[Any] = [weights, {"model": {"fc.weight": torch.ones(2, 3)}, "epoch": 1, "loss": 0.5}]
    contents.append({"state_dict": {"fc.weight": torch.ones(2, 3), "fc.bias": torch.ones(2)}, "optimizer": optimizer})
    out = []
    for content in contents:
        file = io.BytesIO()
        torch.save(content, file)
        out.append(file.getvalue())
    file = io.BytesIO()
    torch.save(weights, file, _use_new_zipfile_serialization=False)
    return [*out, file.getvalue()]


def safetensor(header: Any, data: bytes) -> bytes:
    """A file of this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors() -> list[bytes]:
    """Two files, one with metadata and every kind of number."""
    kinds = {"F64": 8, "F32": 4, "F16": 2, "I64": 8, "I8": 1, "U16": 2, "BOOL": 1, "BF16": 2}
    header: dict[str, Any] = {"__metadata__": {"epoch": "3", "loss": "0.5"}}
    at = 0
    for kind, size in kinds.items():
        header[f"{kind}.weight"] = {"dtype": kind, "shape": [2, 2], "data_offsets": [at, at + 4 * size]}
        at += 4 * size
    one = {"conv1.weight": {"dtype": "F32", "shape": [2, 3, 2, 2], "data_offsets": [0, 96]}}
    return [safetensor(one, WEIGHT.tobytes()), safetensor(header, bytes(range(at)))]


def npz(**arrays: Any) -> bytes:
    """An archive of arrays, packed."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def weights_npz() -> list[bytes]:
    """Weights, and what goes with them."""
    more = {"conv1.bias": np.zeros(2), "grads/conv1.weight": WEIGHT, "epoch": np.array(3), "lr": np.array(0.1)}
    return [npz(**{"conv1.weight": WEIGHT}), npz(**{"conv1.weight": WEIGHT, **more})]


def answers_npz() -> list[bytes]:
    """Passes as logits, and as classes."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 4, 3)).astype(np.float32)
    target = np.array([0, 1, 2, 1])
    names = np.array(["a", "b", "c"])
    return [
        npz(logits=logits, target=target, iteration=np.array([1, 5]), classes=names, image=np.arange(4)),
        npz(predicted=np.array([[0, 1, 2, 2]]), target=target, loss=rng.random((1, 4))),
    ]


def varint(value: int) -> bytes:
    """A whole number as protocol buffers write it."""
    out = b""
    value &= (1 << 64) - 1
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    """A field of a message that holds bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def _double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def event(step: int, *values: bytes) -> bytes:
    """An event as TensorBoard writes it."""
    return _double(1, 1.5e9) + varint(2 << 3) + varint(step) + field(5, b"".join(field(1, one) for one in values))


def scalar(tag: bytes, value: float) -> bytes:
    """A scalar of an event."""
    return field(1, tag) + varint(2 << 3 | 5) + struct.pack("<f", value)


def histogram(tag: bytes, limits: list[float], counts: list[float], low: float = -1.0, high: float = 1.0) -> bytes:
    """A histogram of an event."""
    content = _double(1, low) + _double(2, high) + _double(3, sum(counts)) + _double(4, 0.5) + _double(5, 2.0)
    content += field(6, struct.pack(f"<{len(limits)}d", *limits)) + field(7, struct.pack(f"<{len(counts)}d", *counts))
    return field(1, tag) + field(5, content)


def tensor(tag: bytes, plugin: bytes, kind: int, content: bytes) -> bytes:
    """A value of TensorFlow 2."""
    tensor = varint(1 << 3) + varint(kind) + field(4, content)
    return field(1, tag) + field(8, tensor) + field(9, field(1, field(1, plugin)))


EVENTS = (
    event(1, scalar(b"train/loss", 0.5), scalar(b"lr", 0.1)),
    event(2, histogram(b"conv1.weight", [0.0, 1.0], [3, 4]), scalar(b"train/loss", 0.4)),
    event(3, tensor(b"fc/kernel_0", b"histograms", 2, np.array([[-1, 0, 3], [0, 1, 5]], "<f8").tobytes())),
    event(4, tensor(b"acc", b"scalars", 1, struct.pack("<f", 0.5))),
)


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(records: Iterable[bytes]) -> bytes:
    """An event file of these records, with the right checksums."""
    out = b""
    for data in (_double(1, 1.5e9) + field(3, b"brain.Event:2"), *records):
        size = struct.pack("<Q", len(data))
        out += size + _masked(size) + data + _masked(data)
    return out


def event_files() -> list[bytes]:
    """Files of all kinds of values."""
    return [framed(EVENTS), framed(EVENTS[:1])]


def csv() -> list[bytes]:
    """Scalars and answers."""
    return [
        b"iteration,loss,acc\n1,0.5,0.1\n2,0.4,0.2\n",
        b"epoch,image,target,predicted,loss\n1,a,0,1,0.5\n1,b,1,1,0.25\n2,a,0,0,1\n2,b,1,0,2\n",
    ]


def jsonl() -> list[bytes]:
    """Scalars, and answers with a list of scores in each row."""
    rows = [{"step": s, "id": i, "label": i % 2, "logits": [0.5, i]} for s in (1, 2) for i in (1, 2)]
    scalars = [{"step": s, "loss": 1 / s, "lr": 0.1} for s in (1, 2, 3)]
    return ["\n".join(json.dumps(row) for row in table).encode() for table in (rows, scalars)]


def parquet_of(**columns: Any) -> bytes:
    """A table of these columns."""
    import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def parquet() -> list[bytes]:
    """Scalars, and answers."""
    return [
        parquet_of(iteration=[1, 2, 3], loss=[0.5, 0.25, None]),
        parquet_of(iteration=[1, 1], image=["a", "b"], target=[0, 1], logits=[[0.5, 1.0], [1.0, 2.0]]),
    ]


def profiles() -> list[bytes]:
    """One of each kind."""
    return [
        b"kind: local\nworkers: 2\nthreads: 1\nmemory: 4GiB\nwait: 30\n",
        b"kind: scheduler\naddress: tcp://10.0.0.1:8786\n",
        b"kind: ssh\nhosts: [a, b]\nuser: me\nport: 22\ntls: true\n",
        b"kind: slurm\nmemory: 8GiB\npartition: gpu\ndirectives: ['--exclusive']\nprologue: [module load python]\n",
        b"kind: kubernetes\nimage: deeptracker:1\nmemory: 2GiB\nenv: {A: b, N: 2}\nservice: NodePort\n",
    ]


def addresses() -> list[bytes]:
    """Of pages on which something is chosen."""
    return [
        b"event=2&start=3&stop=9.5&layers=conv1&classes=a&classes=b&pins=7&pins=9&axis=epoch&smooth=0.9",
        b"?filters=conv1%3A3&images=7&only=conv&look=band&level=block&opened=stage+1&scale=filter&show=change",
    ]


__all__ = [
    "EVENTS", "addresses", "answers_npz", "csv", "event", "event_files", "field", "framed", "histogram", "jsonl",
    "npz",
    "parquet", "parquet_of", "profiles", "safetensor", "safetensors", "scalar", "tensor", "torch_files", "varint",
    "weights_npz",
]  # fmt: skip
