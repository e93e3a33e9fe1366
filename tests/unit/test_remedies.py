"""Claims of what the command line says of faults on disk: which file, and a remedy that would help."""

from __future__ import annotations

import errno
import importlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from deeptracker.cli import main
from deeptracker.errors import DamagedRunError, RunError
from deeptracker.export import export
from deeptracker.store import LogWriter, open_run
from deeptracker.store.faults import told
from deeptracker.testing import simulate

Say = Callable[..., str]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command that fails; answers its last line."""

    def call(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["deeptracker", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        return capsys.readouterr().err.splitlines()[-1]

    return call


@pytest.mark.parametrize("name", ["scalars", "architecture/type"])
@pytest.mark.parametrize("content", [None, b"{"])
def test_damage__names_the_command_with_the_path_of_the_run(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / "run"
    simulate(path, model="tiny", iterations=3)
    file = path / "log.zarr" / name / "zarr.json"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(DamagedRunError, match=f"deeptracker verify {path} names every damaged part"):
        open_run(path).dataset(name.partition("/")[0]).load()


@pytest.mark.parametrize("value", [1.0, None])
def test_damage__of_a_tail_names_the_command_with_the_path_of_the_run(tmp_path: Path, value: float | None) -> None:
    writer = LogWriter(tmp_path / "run", background=False)
    writer.append("scalars", 0, {"loss": 1.0})
    writer.flush()
    (file,) = (tmp_path / "run" / "tail").iterdir()
    content = bytearray(file.read_bytes())
    content[0 if value is None else content.rindex(struct.pack("<d", value))] ^= 255
    file.write_bytes(content)
    with pytest.raises(DamagedRunError, match=f"deeptracker verify {tmp_path / 'run'} ") as found:
        open_run(tmp_path / "run").dataset("scalars").load()
    assert "RUN" not in str(found.value)


def test_paths__that_cannot_be_are_to_be_corrected(tmp_path: Path, say: Say) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    said = say("simulate", tmp_path / "file" / "run", "--iterations", 3, "--model", "tiny")
    assert said == f"deeptracker: writing {tmp_path / 'file' / 'run'} failed (Not a directory): correct the path"
    said = say("info", tmp_path / "loop")
    assert said.endswith("loop/commit.json: Too many levels of symbolic links: correct the path")
    assert say("info", tmp_path / ("x" * 300)).endswith("File name too long: correct the path")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"failed \(No space left on device\): free some space$"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system.: check the permissions$"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error.: free some space or check the permissions$"),
        (RuntimeError("store: No space left on device (os error 28)"), "No space left on device.: free some space$"),
    ],
)
def test_writing__that_fails_names_the_remedy_for_what_the_system_said(error: Exception, words: str) -> None:
    with pytest.raises(RunError, match=words), told("run"):
        raise error


def test_export__to_a_full_disk_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    simulate(tmp_path / "run", model="tiny", iterations=3)
    file = tmp_path / "report.html"
    file.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        said = say("export", tmp_path / "run", "--to", file)
    assert said == f"deeptracker: writing {file} failed (No space left on device): free some space"
    assert file.read_text() == "old"
    assert not list(tmp_path.glob(".report*"))


def test_export__a_fault_of_the_run_is_not_told_as_one_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> str:
        raise OSError(errno.EIO, "Input/output error", "run/log.zarr/x")

    simulate(tmp_path / "run", model="tiny", iterations=3)
    monkeypatch.setattr(importlib.import_module("deeptracker.export.report"), "html", lost)
    with pytest.raises(OSError, match=r"run/log\.zarr/x"):
        export(open_run(tmp_path / "run"), tmp_path / "report.html")
