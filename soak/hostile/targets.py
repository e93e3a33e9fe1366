"""What is attacked: each target takes bytes, and gives them to a reader as a user would."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deeptracker.app.address import addressed
from deeptracker.app.state import State
from deeptracker.cluster import read_profile
from deeptracker.ingest import Gathering, Outcome, find_sources
from deeptracker.recording import ingest_run
from deeptracker.store import open_run
from deeptracker.testing import MemorySink
from soak.hostile import made
from soak.hostile.runs import HostileRun
from soak.hostile.watch import unclear

Feed = Callable[[bytes, Path], object]


class UnclearError(Exception):
    """What is said of an input is no clear line."""


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of input.

    Parameters
    ----------
    name : folder of its corpus.
    feed : gives an input to the reader, in a folder of its own; raises what the reader raises.
    whole : the same to the end, as the command line does it; slower.
    seeds : valid inputs, to be changed.
    tokens : what stands in such inputs, for the engine that guesses.
    """

    name: str
    feed: Feed
    whole: Feed
    seeds: Callable[[], list[bytes]]
    tokens: tuple[bytes, ...] = ()


def _said(outcome: Outcome) -> None:
    lines = [*outcome.found, *outcome.notes, *(text for line in outcome.grouped() for text in line)]
    for line in lines:
        if (wrong := unclear(line)) and line:
            raise UnclearError(wrong)


def _source(name: str, data: bytes, folder: Path) -> Path:
    source = folder / "source"
    source.mkdir()
    (source / name).write_bytes(data)
    return source


def _gathered(name: str) -> Feed:
    def feed(data: bytes, folder: Path) -> None:
        outcome = Outcome(folder / "run")
        sources = find_sources(_source(name, data, folder), outcome)
        gathering = Gathering(
            sources, outcome, include=None, exclude=None, steps_per_epoch=None, progress=lambda what, share: None
        )
        gathering.write(MemorySink())
        _said(outcome)

    return feed


def _ingested(name: str, beside: Mapping[str, bytes]) -> Feed:
    """Into a run, which is read again; ``beside``: files of the same training that are sound."""

    def feed(data: bytes, folder: Path) -> None:
        source = _source(name, data, folder)
        for other, content in beside.items():
            (source / other).write_bytes(content)
        outcome = ingest_run(source, folder / "run")
        _said(outcome)
        run = open_run(folder / "run")
        for group in run.groups:
            run.dataset(group).load()

    return feed


def _ingest(
    kind: str, name: str, seeds: Callable[[], list[bytes]], tokens: tuple[bytes, ...] = (), other: str = ""
) -> Target:
    beside = {other: seeds()[0]} if other else {}
    return Target(kind, _gathered(name), _ingested(name, beside), seeds, tokens)


def _framed(feed: Feed) -> Feed:
    """One record between two sound ones, its checksums right: what is inside has to be looked at."""

    def framed(data: bytes, folder: Path) -> object:
        return feed(made.framed([*made.EVENTS[:1], data, *made.EVENTS[1:]]), folder)

    return framed


def _profile(data: bytes, folder: Path) -> None:
    path = folder / "profile.yaml"
    path.write_bytes(data)
    read_profile(path)


def _address(data: bytes, folder: Path) -> None:
    known = {"layers": ["conv1"], "classes": ["a", "b"]}
    state = State()
    state.take(data.decode("utf-8", "replace"), known)
    again = State()
    if again.take(state.query(), known) or again.query() != state.query():
        raise UnclearError("what was taken from an address is none")
    pieces = [piece.partition(b"=") for piece in data.split(b"&")]
    arguments = {name.decode("latin-1"): [value] for name, _, value in pieces}
    address, _ = addressed(State(), arguments, known)
    address.place = {"query": data.decode("utf-8", "replace"), "replace": True}


_YAML = (b"kind: ", b"local", b"ssh", b"slurm", b"kubernetes", b"scheduler", b"hosts: ", b"workers: ", b"memory: ",
         b"tls: ", b"wait: ", b"!!python/object/apply:os.system", b"&a ", b"*a", b"<<: ", b".inf", b"env: ",
         b"service: ")  # fmt: skip
_QUERY = tuple(f"{name}=".encode() for name in State.param if name != "name") + (b"%00", b"%0a", b"&", b"1e999")
_COLUMNS = (b"iteration", b"image", b"predicted", b"logits", b"target", b"correct", b"loss", b"epoch", b"classes",
            b"nan", b"inf", b"-1", b"1e309", b"null", b"[1, 2]", b"{}")  # fmt: skip
_SAFE = (b'"dtype":', b'"shape":', b'"data_offsets":', b'"F32"', b'"BF16"', b'"__metadata__":', b".weight", b".bias",
         b"running_mean", b"9223372036854775808")  # fmt: skip


def targets(folder: Path) -> dict[str, Target]:
    """All targets; what they need besides their inputs is made in ``folder``."""
    run = HostileRun(folder / "hostile-run")
    every = [
        _ingest("checkpoint-pt", "e1.pt", made.torch_files, other="e2.pt"),
        _ingest("checkpoint-safetensors", "e1.safetensors", made.safetensors, _SAFE, other="e2.safetensors"),
        _ingest("checkpoint-npz", "e1.npz", made.weights_npz, other="e2.npz"),
        _ingest("answers-npz", "answers.npz", made.answers_npz),
        _ingest("events", "a.tfevents.1", made.event_files),
        _ingest("table-csv", "table.csv", made.csv, _COLUMNS),
        _ingest("table-jsonl", "table.jsonl", made.jsonl, _COLUMNS),
        _ingest("table-parquet", "table.parquet", made.parquet),
        Target("profile", _profile, _profile, made.profiles, _YAML),
        Target("address", _address, _address, made.addresses, _QUERY),
        *(Target(name, feed, whole, seeds, run.tokens) for name, feed, whole, seeds in run.readers()),
    ]
    found = {one.name: one for one in every}
    events = found["events"]
    found["event-records"] = Target(
        "event-records", _framed(events.feed), _framed(events.whole), lambda: list(made.EVENTS)
    )
    return found


def scratch(folder: Path) -> Path:
    """An empty folder for one try."""
    place = folder / "try"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place


def file_name(data: bytes) -> str:
    """What a corpus calls an input that nobody named."""
    return f"{zlib.crc32(data):08x}"


__all__ = ["Target", "UnclearError", "file_name", "scratch", "targets"]
