"""What a folder (or a file) of somebody's training holds: sorted into kinds by suffix and content."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deeptracker.errors import DeepTrackerError, InputError
from deeptracker.ingest.arrays import NUMPY, SAFE, TORCH
from deeptracker.ingest.eventfile import is_event_file
from deeptracker.ingest.network import natural
from deeptracker.ingest.outcome import Outcome
from deeptracker.ingest.tables import SUFFIXES, kind_of

_EVENTS = ".tfevents"
_PART = re.compile(r"-\d+-of-\d+$")


@dataclass(slots=True)
class Sources:
    """Files by kind, in natural order of their paths."""

    root: Path
    checkpoints: list[Path] = field(default_factory=list)
    events: list[Path] = field(default_factory=list)
    answers: list[Path] = field(default_factory=list)
    scalars: list[Path] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.checkpoints or self.events or self.answers or self.scalars)


def find_sources(source: str | Path, outcome: Outcome) -> Sources:
    """Look through a folder and its subfolders, or at one file; what is of no use goes to ``outcome.left_out``.

    Raises
    ------
    InputError
        There is nothing at the path, or nothing that can be ingested.
    """
    path = Path(source)
    if not path.exists():
        raise InputError(f"{path} does not exist: name a folder or a file to ingest")
    if (path / "log.zarr").exists():
        raise InputError(f"{path} is a run already: deeptracker info {path}")
    root = path if path.is_dir() else path.parent
    sources = Sources(root)
    files = sorted(_files(path, outcome), key=lambda file: natural(file.relative_to(root).as_posix()))
    for file in files:
        _sort_in(sources, file, outcome)
    sources.checkpoints = _one_series(sources.checkpoints, root, outcome)
    if not sources:
        why = "; ".join(f"{what}: {reason}" for what, reason in outcome.grouped()[:3])
        raise InputError(
            f"{path} holds nothing to ingest (checkpoints .pt .safetensors .npz, TensorBoard event files, tables "
            f".npz .parquet .jsonl .csv){': ' + why if why else ''}"
        )
    return sources


def _files(path: Path, outcome: Outcome) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for child in path.iterdir():
        if child.name.startswith("."):
            continue
        if child.is_file():
            yield child
        elif child.is_dir() and not (child / "log.zarr").exists():
            yield from _files(child, outcome)
        elif child.is_dir():
            outcome.leave_out(child.name, "a run already")


def _sort_in(sources: Sources, file: Path, outcome: Outcome) -> None:
    suffix, name = file.suffix.lower(), file.relative_to(sources.root).as_posix()
    try:
        if _EVENTS in file.name:
            if is_event_file(file):
                sources.events.append(file)
            else:
                outcome.leave_out(name, "not an event file, or an empty one")
        elif suffix in SAFE | TORCH:
            if _PART.search(file.stem):
                outcome.leave_out(name, "a part of a checkpoint in several files: save it as one")
            else:
                sources.checkpoints.append(file)
        elif suffix in NUMPY | SUFFIXES:
            kind = kind_of(file)
            known = {"weights": sources.checkpoints, "answers": sources.answers, "scalars": sources.scalars}
            if kind in known:
                known[kind].append(file)
            else:
                outcome.leave_out(name, kind)
        else:
            outcome.leave_out(name, f"{suffix or 'no suffix'}: not a kind of file that is read")
    except DeepTrackerError as error:
        outcome.leave_out(name, str(error).removeprefix(f"{file.name}: "))


def _one_series(files: list[Path], root: Path, outcome: Outcome) -> list[Path]:
    """The largest family of checkpoints: folders that differ in numbers only are one family."""
    families: dict[str, list[Path]] = {}
    for file in files:
        family = re.sub(r"\d+", "#", file.relative_to(root).parent.as_posix())
        families.setdefault(family, []).append(file)
    if not families:
        return []
    chosen = max(families, key=lambda family: len(families[family]))
    for family, members in families.items():
        if family != chosen:
            for file in members:
                outcome.leave_out(file.relative_to(root).as_posix(), "of another series: ingest its folder by itself")
    return families[chosen]


__all__ = ["Sources", "find_sources"]
