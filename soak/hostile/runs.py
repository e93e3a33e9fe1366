"""A small run of which one file is hostile: a marker, an array's description, a tail, values, a copy of a table."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from deeptracker.conform import build
from deeptracker.errors import DeepTrackerError
from deeptracker.ingest.network import architecture
from deeptracker.store import LogWriter, list_runs, open_run, verify
from deeptracker.store.arrays import row_files
from deeptracker.store.commit import COMMIT
from deeptracker.store.layout import COPIES, STAGES, TAIL
from deeptracker.store.remarks import REMARKS
from deeptracker.store.tail import forget
from soak.hostile.watch import unclear

Feed = Callable[[bytes, Path], object]
Reader = tuple[str, Feed, Feed, Callable[[], list[bytes]]]
_PREFIX = struct.Struct("<8sII")
_SEAL = re.compile(rb'(,|(?<=\{))"crc32c":"[0-9a-f]{8}"(\}\}?)\Z')
DESCRIPTIONS = (
    "scalars/loss", "scalars/iteration", "filters/probe/act_mean", "architecture/layer", "architecture/filters",
    "architecture", "anomalies/1/events/document", "validation/validation/raw/loss", "images/validation",
)  # fmt: skip
VALUES = ("scalars/loss/c/0", "scalars/iteration/c/0", "architecture/layer/c/0", "anomalies/1/events/document/c/0")
SHARDS = ("filters/probe/act_mean/c/0/0", "validation/validation/raw/loss/c/0/0")
_TOKENS = (
    b'"schema_version":', b'"groups":', b'"columns":', b'"dims":', b'"dtype":', b'"shape":', b'"shards":', b'"tail":',
    b'"spans":', b'"thinned":', b'"tables":', b'"version":', b'"shard_rows":', b'"axis":', b"../../x", b"/etc/passwd",
    b"1152921504606846976", b"-1", b"null", b"1e999", b"NaN", b'"float32"', b'"O"', b'"V9"', b'"M8[s]"', b'"chunks"',
)  # fmt: skip


class HostileRun:
    """Gives bytes to who reads a run: a sound run that is made once, and changed for each try.

    Parameters
    ----------
    folder : where it is made.
    """

    tokens = _TOKENS

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def path(self) -> Path:
        """The sound run: rows in shards and in the tail, tables, a derived stage, a remark."""
        path = self._folder / "runs" / "sound"
        events = [{"rank": 1, "kind": "anomaly", "cause": "unknown", "iteration": 2, "layers": ["a"], "classes": []}]
        with LogWriter(path, background=False) as writer:
            writer.put("architecture", _architecture())
            images = {"target": np.zeros(3, np.int32), "position": np.arange(3, dtype=np.int32)}
            writer.put("images/validation", build("images/validation", images, {"image": [0, 1, 2], "class": ["c"]}))
            writer.coordinates("validation/validation/raw", {"image": np.arange(3)})
            writer.coordinates("scalars", {"param_group": np.arange(1)})
            _rows(writer, range(3))
        run = open_run(path)
        with run.write_stage("anomalies", {}) as stage:
            arrays: dict[str, Any] = {
                "document": np.array([json.dumps(event) for event in events], object),
                "rank": np.array([1], np.int32),
                "iteration": np.array([2], np.int64),
            }
            stage.put("anomalies/events", build("anomalies/events", arrays, {}))
        open_run(path).remark(1, "confirmed", "seen")
        writer = LogWriter(path, background=False)
        _rows(writer, range(3, 5))
        writer.flush()
        kept = shutil.copytree(path, self._folder / "kept")
        writer.close()
        shutil.rmtree(path)
        kept.rename(path)
        return path

    def readers(self) -> Iterator[Reader]:
        """(name, feed, whole, seeds) of each target."""
        for name, file in (("run-commit", COMMIT), ("run-stages", STAGES), ("run-remarks", REMARKS)):
            yield name, *self._of(lambda data, file=file: {file: data}), lambda file=file: [self._bytes(file)]
        yield "run-zarr", *self._of(self._description), self._descriptions
        yield "run-tail", *self._of(self._tail), lambda: [self._tail_header()[0]]
        yield "run-values", *self._of(self._values), self._packed
        yield "run-copy", *self._of(self._copy), self._copies

    def _of(self, files: Callable[[bytes], dict[str, bytes]]) -> tuple[Feed, Feed]:
        def feed(data: bytes, folder: Path) -> None:
            changed = {name: _sealed(name, content) for name, content in files(data).items()}
            kept = {name: self._bytes(name) for name in changed if (self.path / name).is_file()}
            try:
                for name, content in changed.items():
                    (self.path / name).write_bytes(content)
                read(self.path)
            finally:
                for name in changed.keys() - kept:
                    (self.path / name).unlink()
                for name, content in kept.items():
                    (self.path / name).write_bytes(content)

        def whole(data: bytes, folder: Path) -> None:
            path = folder / "runs" / "run"
            shutil.copytree(self.path, path)
            for name, content in files(data).items():
                (path / name).write_bytes(_sealed(name, content))
            read(path)
            _sure(lambda: list_runs(path.parent))
            _sure(lambda: open_run(path).tree)
            _sure(lambda: verify(path, repair=True))
            _sure(lambda: go_on(path))
            read(path)

        return feed, whole

    def _bytes(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def _description(self, data: bytes) -> dict[str, bytes]:
        """The first byte chooses an array or a group."""
        return {f"log.zarr/{DESCRIPTIONS[_chosen(data) % len(DESCRIPTIONS)]}/zarr.json": data[1:]}

    def _descriptions(self) -> list[bytes]:
        return [bytes([i]) + self._bytes(f"log.zarr/{name}/zarr.json") for i, name in enumerate(DESCRIPTIONS)]

    @cached_property
    def _tail_file(self) -> Path:
        return next((self.path / TAIL).iterdir())

    def _tail_header(self) -> tuple[bytes, bytes]:
        raw = self._tail_file.read_bytes()
        _, length, _ = _PREFIX.unpack_from(raw)
        return raw[_PREFIX.size : _PREFIX.size + length].rstrip(), raw[_PREFIX.size + length :]

    def _tail(self, data: bytes) -> dict[str, bytes]:
        """A header whose checksum is right before the sound arrays."""
        text = data + b" " * (-(len(data) + _PREFIX.size) % 64)
        prefix = _PREFIX.pack(b"DTTAIL1\n", len(text), zlib.crc32(text))
        return {f"{TAIL}/{self._tail_file.name}": prefix + text + self._tail_header()[1]}

    def _copy(self, data: bytes) -> dict[str, bytes]:
        """A copy of a table that is damaged, so that a repair takes it; the marker has its checksum."""
        old, new = self._copied("architecture").name.split(".")[1], f"{google_crc32c.value(data):08x}"
        marker = self._bytes(COMMIT).replace(old.encode(), new.encode())
        return {"log.zarr/architecture/layer/c/0": b"", f"{COPIES}/architecture.{new}.zip": data, COMMIT: marker}

    def _copies(self) -> list[bytes]:
        return [self._copied(group).read_bytes() for group in ("architecture", "scalars")]

    def _copied(self, group: str) -> Path:
        return next((self.path / COPIES).glob(f"{group}.*"))

    def _values(self, data: bytes) -> dict[str, bytes]:
        """The first byte chooses a file; checksums are right, of its chunk or of the index that ends it."""
        chosen, content = _chosen(data) % (len(VALUES) + len(SHARDS)), data[1:]
        sealed = content + google_crc32c.value(content).to_bytes(4, "little")
        if chosen < len(VALUES):
            return {f"log.zarr/{VALUES[chosen]}": sealed}
        name = f"log.zarr/{SHARDS[chosen - len(VALUES)]}"
        return {name: self._bytes(name)[:-20] + sealed}

    def _packed(self) -> list[bytes]:
        values = [self._bytes(f"log.zarr/{name}")[:-4] for name in VALUES]
        values += [self._bytes(f"log.zarr/{name}")[-20:-4] for name in SHARDS]
        return [bytes([i]) + content for i, content in enumerate(values)]


def _sealed(name: str, content: bytes) -> bytes:
    """Bytes of a JSON file with the checksum that fits them: who sends a run can count, too."""
    closing = b"}}" if name.endswith("zarr.json") else b"}"
    body = _SEAL.sub(rb"\2", content.rstrip())
    if not name.endswith(".json") or not body.endswith(closing):
        return content
    body = body.removesuffix(closing)
    comma = b"" if body.endswith(b"{") else b","
    return body + comma + b'"crc32c":"%08x"' % google_crc32c.value(body) + closing


def _chosen(data: bytes) -> int:
    return data[0] if data else 0


def _architecture() -> Any:
    empty = ["", ""]
    known = {
        "type": empty, "kernel": empty, "normalisation": empty, "parameters": np.array([4, 4]),
        "lr_group": np.array([0, 0]), "init_norm2": np.ones(2),
    }  # fmt: skip
    return architecture(["a", "b"], np.array([2, 2]), known, {"order": "as made"})


def _rows(writer: LogWriter, steps: range) -> None:
    four, three = np.ones(4, np.float32), np.ones(3)
    for step in steps:
        numbers: dict[str, Any] = dict.fromkeys(("loss", "grad_norm", "wall_time", "recorder_seconds"), 0.5)
        writer.append("scalars", step, {**numbers, "learning_rate": np.ones(1), "steps": 1, "step_skipped": 0})
        writer.append("filters/probe", step, {"act_mean": four, "act_std": four, "act_zero_fraction": four})
        answers = {"predicted": three.astype(np.int16), "correct": three.astype(np.int8), "loss": three}
        writer.append("validation/validation/raw", step, answers)


def _sure(work: Callable[[], object]) -> object:
    """What reading gives; None where it says in one clear line why not."""
    try:
        return work()
    except DeepTrackerError as error:
        if wrong := unclear(str(error)):
            raise RuntimeError(wrong) from error
        return None


def read(path: Path) -> None:
    """Everything that is in a run, as pages and scripts read it; what one part lacks says that part."""
    row_files.cache_clear()
    forget()
    run = open_run(path)
    repr(run)
    for group in _sure(lambda: run.groups) or ():  # type: ignore[attr-defined]
        _sure(lambda group=group: run.dataset(group).load())  # type: ignore[misc]
    for look in (run.event_documents, run.bytes_by_group, lambda: run.thinned, lambda: dict(run.attributes)):
        _sure(look)
    for finding in _sure(lambda: verify(path)) or ():  # type: ignore[attr-defined]
        if wrong := unclear(str(finding)):
            raise RuntimeError(wrong)


def go_on(path: Path) -> None:
    """A recording that resumes, and an analysis that replaces the one that is there."""
    with LogWriter(path, background=False) as writer:
        _rows(writer, range(1000, 1002))
    run = open_run(path)
    with run.write_stage("anomalies", {}) as stage:
        arrays = {name: np.array([], kind) for name, kind in (("rank", np.int32), ("iteration", np.int64))}
        stage.put("anomalies/events", build("anomalies/events", {"document": np.array([], object), **arrays}, {}))


__all__ = ["HostileRun", "read"]
