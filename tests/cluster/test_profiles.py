"""Profiles: what is taken, and one clear line for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from deeptracker.cluster import Profile, connect, read_profile
from deeptracker.errors import InputError

SHIPPED = Path(__file__).parents[2] / "cluster"


def test_profile__local_needs_no_file() -> None:
    assert read_profile("local") == Profile()


def test_profile__the_shipped_ones_can_be_read() -> None:
    profiles = sorted(SHIPPED.glob("*.yaml"))
    assert profiles
    for path in profiles:
        assert read_profile(path).kind == "local"
    assert read_profile(SHIPPED / "local.yaml") == Profile(workers=2, memory="4GiB")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: slurm\n", "kind 'slurm' is not supported yet"),
        ("kind: ssh\nhosts: [a]\n", "kind 'ssh' is not supported yet"),
        ("kind: local\nworker: 3\n", "unknown key 'worker'"),
        ("workers: none\n", "workers is 'none'"),
        ("workers: 0\n", "workers is 0"),
        ("threads: true\n", "threads is True"),
        ("", "is empty"),
        ("kind: [local\n", "no valid YAML"),
    ],
)
def test_profile__mistakes_are_one_line_that_says_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_profile(path)
    assert "\n" not in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_profile__names_what_is_supported_where_it_is_none() -> None:
    for wrong in ("kubernetes", "slurm", "10.0.0.1:8786"):
        with pytest.raises(InputError, match=r'is not supported: give "local", a YAML file'):
            read_profile(wrong)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_profile("nowhere.yaml")


def test_connect__an_address_that_nobody_answers_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeptracker.cluster._SECONDS_TO_CONNECT", 1)
    with (
        pytest.raises(InputError, match="no Dask scheduler answers at tcp"),
        connect("tcp://127.0.0.1:1"),
    ):
        pass
