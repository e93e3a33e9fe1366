"""Disks that are full, read-only, taken away, slow or broken under a recorded training, and under an analysis.

Where this process may mount (root on Linux), a disk is a tmpfs of its own; else faults are injected where files are
written, which the figures say.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from deeptracker.analysis import analyze
from deeptracker.errors import DeepTrackerError
from deeptracker.store import open_run, verify
from deeptracker.testing import simulate
from soak.figures import Figure
from soak.mounts import can_mount, disk, someone
from soak.training import Told, broken, train

STEPS = 60
ERRORS = ["ENOSPC", "EIO", "EROFS", "EACCES", "EDQUOT", "ESTALE"]

Fault = Callable[[Path, bool], None]
"""Begins (True) or ends (False) below a folder."""


def attack(times: int, seed: int, folder: Path) -> list[Figure]:
    """Trainings over disks with a fault each, of all kinds in turn, and a quarter as many analyses."""
    draw = random.Random(seed)
    real = can_mount(folder)
    kinds = ["full", "read-only", "permission", "moved", "deleted", "error", "fsync", "slow"]
    seen, wrong, said = Counter[str](), Counter[str](), 0
    for number in range(times):
        kind = kinds[number % len(kinds)]
        found, faulty = trained(kind, draw, folder / str(number), real)
        seen[kind] += 1
        said += faulty
        wrong += Counter({f"{kind}: {what}": n for what, n in found.items()})
    analyses = max(1, times // 4)
    found, refused = analysed(analyses, draw, folder / "analyses", real)
    how = "real disks (tmpfs)" if real else "injected: no right to mount here"
    worst = "".join(f"; {what} ({n})" for what, n in wrong.items())
    return [
        Figure(
            f"recording on a disk that is full, read-only, forbidden, moved, deleted, broken, slow; {how}",
            f"{times} trainings",
            f"{said} met a fault, said once each",
            wrong.total(),
            f"promises broken{worst}",
        ),
        Figure(
            f"analysis on a disk that fills up; {how}",
            f"{analyses} analyses",
            f"{refused} ended in one line",
            found.total(),
            "results spoilt" + "".join(f"; {what} ({n})" for what, n in found.items()),
        ),
    ]


def trained(kind: str, draw: random.Random, folder: Path, real: bool) -> tuple[Counter[str], bool]:
    """One training with one fault, which ends at a random moment, or only after the training."""
    begin = draw.choice([-1, *range(STEPS)])
    end = draw.choice([None, draw.randint(begin + 1, STEPS) if begin >= 0 else None])
    strict = draw.random() < 0.2
    kilobytes = draw.randint(192, 2048) if kind == "full" and draw.random() < 0.5 else 4096
    with disk(folder, real, kilobytes) as place:
        path, fault = place / "run", _fault(kind, draw, real)

        def meanwhile(step: int) -> None:
            if step == begin:
                fault(path, True)
            elif step == end:
                fault(path, False)

        try:
            with someone(place, kind == "permission"):
                told = train(path, STEPS, meanwhile, strict=strict)
        finally:
            fault(path, False)
        if real:
            subprocess.run(["mount", "-o", "remount,size=32m", place], check=True)
        if kind == "deleted" and (begin >= 0 or not path.exists()):
            # Nothing is left; and nothing may have been begun again in its place.
            rest = Told(told.losses, -1, told.said, told.faults, told.raised)
            wrong = Counter({"written where the run was deleted": sum(f.is_file() for f in path.rglob("*"))})
            return +(wrong + _said(rest, strict)), told.faults > 0
        if told.raised is None and kilobytes == 4096 and (end is not None and end < STEPS):
            told.reported = STEPS - 1  # the disk was whole again before the end: nothing may be missing
        return broken(path, told, STEPS, strict), told.faults > 0


def _said(told: Told, strict: bool) -> Counter[str]:
    from soak.training import FAILED, sound

    if strict:
        return Counter()
    same = told.losses == sound(STEPS)[0]
    return Counter({"the training was another one": not same, "not said once": told.said.count(FAILED) > 1})


def _fault(kind: str, draw: random.Random, real: bool) -> Fault:
    if kind == "full":
        return _full if real else _injected(draw, ["ENOSPC"])
    if kind == "read-only":
        return _read_only if real else _injected(draw, ["EROFS"])
    made: dict[str, Fault] = {"permission": _forbidden, "moved": _moved, "deleted": _deleted}
    if kind in made:
        return made[kind]
    if kind == "fsync":
        return _forgetful()
    return _slow(draw) if kind == "slow" else _injected(draw, ERRORS)


def _full(path: Path, begins: bool) -> None:
    ballast = path.parent / "ballast"
    if not begins:
        ballast.unlink(missing_ok=True)
        return
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def _read_only(path: Path, begins: bool) -> None:
    # Mounted over itself: a disk that an error makes read-only does not wait for its writers either.
    if begins:
        subprocess.run(["mount", "--bind", path, path], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
    elif _is_mounted(path):
        subprocess.run(["umount", "-l", path], check=True)


def _is_mounted(path: Path) -> bool:
    with open("/proc/self/mounts") as mounts:
        return any(line.split()[1] == str(path) for line in mounts)


def _forbidden(path: Path, begins: bool) -> None:
    for place in (path, path / "tail", path / "log.zarr", path / "commit.json"):
        if place.exists():
            place.chmod(0o500 if begins else 0o700)


def _moved(path: Path, begins: bool) -> None:
    aside = path.with_name("aside")
    if begins and path.exists():
        path.rename(aside)
    elif not begins and aside.exists():
        if path.exists():
            raise RuntimeError(f"{path} was begun again while it was moved away")
        aside.rename(path)


def _deleted(path: Path, begins: bool) -> None:
    while begins and path.exists():  # a file that is written just now comes after the list of files
        shutil.rmtree(path, ignore_errors=True)


def _injected(draw: random.Random, names: list[str]) -> Fault:
    """A share of the calls that change files fail."""
    number, share = getattr(errno, draw.choice(names)), draw.choice([0.3, 1.0])
    calls = {name: getattr(os, name) for name in ("fsync", "replace", "mkdir", "unlink", "open")}

    def fault(path: Path, begins: bool) -> None:
        for name, call in calls.items():

            def failing(*given: object, call: Callable[..., object] = call, **more: object) -> object:
                writes = call is not calls["open"] or (len(given) > 1 and isinstance(given[1], int) and given[1] & 3)
                if writes and draw.random() < share:
                    raise OSError(number, os.strerror(number))
                return call(*given, **more)

            setattr(os, name, failing if begins else call)

    return fault


def _forgetful() -> Fault:
    """What is made durable while this lasts is gone, and said to be: as a kernel does after an error of the disk."""
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if os.path.isfile(f"/proc/self/fd/{descriptor}"):
            os.truncate(f"/proc/self/fd/{descriptor}", 0)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fault(path: Path, begins: bool) -> None:
        os.fsync = failing if begins else fsync

    return fault


def _slow(draw: random.Random) -> Fault:
    """No fault, but seconds for a few files."""
    fsync, left = os.fsync, [draw.randint(1, 3)]

    def slow(descriptor: int) -> None:
        if left[0] > 0:
            left[0] -= 1
            time.sleep(draw.uniform(0.2, 0.8))
        fsync(descriptor)

    def fault(path: Path, begins: bool) -> None:
        os.fsync = slow if begins else fsync

    return fault


def analysed(times: int, draw: random.Random, folder: Path, real: bool) -> tuple[Counter[str], int]:
    """Analyses of a run that has grown, with less room than they need; promises that were broken, and refusals."""
    wrong, refused = Counter[str](), 0
    with disk(folder, real, 24 << 10) as place:
        path = place / "run"
        simulate(path, model="tiny", iterations=300, images=40, passes=20, classes=3, seed=draw.randint(0, 99))
        analyze(path)
        for _ in range(times):
            before = derived(path)
            versions = {name: stage["version"] for name, stage in open_run(path).stages.items()}
            fault = _full if real else _injected(draw, ["ENOSPC"])
            fault(path, True)
            if real:  # leave some room
                with contextlib.suppress(OSError):
                    size = (place / "ballast").stat().st_size
                    os.truncate(place / "ballast", max(0, size - draw.randint(0, 3 << 20)))
            try:
                analyze(path, stages=["index", "anomalies", "correlation"])
            except DeepTrackerError as error:
                refused += 1
                wrong["more than a line"] += "\n" in str(error) or "free some space" not in str(error)
            except Exception as error:
                wrong[f"a traceback: {error!r}"[:200]] += 1
            finally:
                fault(path, False)
            now = derived(path)
            # A stage is made anew or as it was; both hold the same numbers.
            wrong["another result"] += now != before
            wrong["damage"] += len(verify(path))
            wrong["a version went back"] += any(
                open_run(path).stages[name]["version"] < version for name, version in versions.items()
            )
        analyze(path, stages=["index", "anomalies", "correlation"])
        wrong["another result afterwards"] += derived(path) != before
    return +wrong, refused


def derived(path: str | Path) -> dict[str, bytes]:
    """Every file of the current stages of a run, by its name without the version."""
    log, stages = open_run(path).path / "log.zarr", open_run(path).stages
    roots = [(name, log / name / str(stage["version"])) for name, stage in stages.items()]
    return {
        f"{name}/{below}": root.joinpath(*below.split("/")).read_bytes()
        for name, root in roots
        for below, _ in root.sizes()
    }


__all__ = ["attack", "can_mount", "derived", "disk"]
