"""Claims of what the command line says of faults on disk: which file, and a remedy that would help."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from deeptracker.cli import main
from deeptracker.errors import DamagedRunError
from deeptracker.store import LogWriter, open_run
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
