"""Profiles: what is taken, and one clear line for what is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import deeptracker, one_line

from deeptracker.cluster import Profile, connect, read_profile
from deeptracker.cluster.keys import KEYS
from deeptracker.cluster.workers import ENVIRONMENT
from deeptracker.errors import InputError, MissingExtraError

SHIPPED = Path(__file__).parents[2] / "cluster"


def test_profile__local_needs_no_file() -> None:
    assert read_profile("local") == Profile()


def test_profile__the_shipped_ones_can_be_read() -> None:
    profiles = {path.stem: read_profile(path) for path in SHIPPED.glob("*.yaml")}
    assert {name: profile.kind for name, profile in profiles.items()} == {name: name for name in KEYS}
    assert profiles["local"] == Profile(workers=2, memory="4GiB")
    assert profiles["slurm"].settings["walltime"] == "04:00:00"


@pytest.mark.parametrize("kind", KEYS)
def test_profile__the_shipped_ones_and_the_guide_name_every_key(kind: str) -> None:
    written = (SHIPPED / f"{kind}.yaml").read_text()
    guide = (SHIPPED.parent / "docs" / "clusters.md").read_text()
    for key in KEYS[kind]:
        assert f"`{key}`" in guide
        if key != "wait":
            assert re.search(rf"^(# )?{key}:", written, re.MULTILINE), key


def test_profile__what_is_commented_out_in_the_shipped_ones_is_right_too(tmp_path: Path) -> None:
    (tmp_path / "me").touch()
    for path in SHIPPED.glob("*.yaml"):
        lines = [re.sub(r"^# (\w+:( |$)|  )", r"\1", line) for line in path.read_text().splitlines()]
        whole = "\n".join(re.sub(r"(~/[.\w/]+|\S+\.pem)", "me", line) for line in lines)
        (tmp_path / path.name).write_text(whole)
        profile = read_profile(tmp_path / path.name)
        assert {*profile.settings, "workers", "threads", "memory", "wait", "tls"} >= set(KEYS[profile.kind])


def test_profile__files_are_found_beside_it_and_kept_as_whole_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ca", "cert", "key", "mine", "hosts"):
        (tmp_path / name).touch()
    path = tmp_path / "mine.yaml"
    path.write_text("kind: ssh\nhosts: [a]\nkey: ~/mine\nknown_hosts: hosts\ntls: {ca: ca, cert: cert, key: key}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    profile = read_profile(path)
    assert profile.settings["key"] == str(tmp_path / "mine")
    assert profile.settings["known_hosts"] == str(tmp_path / "hosts")
    assert profile.tls == {part: str(tmp_path / part) for part in ("ca", "cert", "key")}


def test_profile__a_key_without_a_value_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("kind: local\nworkers:\nmemory: 1GiB\n")
    assert read_profile(tmp_path / "mine.yaml") == Profile(memory="1GiB")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: pbs\n", "there is no kind 'pbs': kinds are local, scheduler, ssh, slurm, kubernetes"),
        ("kind: local\nworker: 3\n", "unknown key 'worker'; kind local takes memory, threads, tls, wait, workers"),
        ("kind: slurm\nmemory: 1GiB\nqueue: long\n", "unknown key 'queue'; kind slurm takes account, directives"),
        ("workers: none\n", "workers is 'none', but must be a whole number"),
        ("workers: 0\n", "workers is 0"),
        ("threads: true\n", "threads is True"),
        ("memory: 4\n", "memory is 4, but must be a size such as 4GiB"),
        ("memory: lots\n", "memory is 'lots'"),
        ("wait: -1\n", "wait is -1, but must be a number of seconds above 0"),
        ("tls: yes please\n", "tls is 'yes please', but must be true, or three files"),
        ("tls: {ca: a.pem}\n", "but must be true, or three files {ca: …, cert: …, key: …}"),
        ("tls: {ca: a.pem, cert: b.pem, key: c.pem}\n", "tls names .*a.pem, which is no file"),
        ("kind: scheduler\n", "kind scheduler needs address"),
        ("kind: scheduler\naddress: tls://a:1\ntls: true\n", "tls is True, but must be three files"),
        ("kind: ssh\n", "kind ssh needs hosts: a list of texts"),
        ("kind: ssh\nhosts: a\n", "hosts is 'a', but must be a list of texts"),
        ("kind: ssh\nhosts: []\n", r"hosts is \[\], but must be a list of texts"),
        ("kind: ssh\nhosts: [' ']\n", "hosts is .' '., but must be a list of texts"),
        ('kind: slurm\nmemory: 1GiB\naccount: "a\\nb"\n', "but must be a text on one line"),
        ("memory: '4'\n", "memory is '4', but must be a size such as 4GiB"),
        ("wait: 0\n", "wait is 0, but must be a number of seconds above 0"),
        ("kind: ssh\nhosts: [a]\nport: 70000\n", "port is 70000, but must be a port"),
        ("kind: ssh\nhosts: [a]\nkey: nowhere\n", "key names .*nowhere, which is no file"),
        ("kind: slurm\nmemory: 1GiB\nwalltime: 1:00:00\n", "walltime is 3600, but must be a text .*in quotes"),
        ("kind: slurm\n", "kind slurm needs memory: a size such as 4GiB"),
        ("kind: kubernetes\nmemory: 1GiB\n", "kind kubernetes needs image"),
        (
            "kind: kubernetes\nmemory: 1GiB\nimage: a\nservice: Ingress\n",
            "service is 'Ingress', but must be ClusterIP",
        ),
        ("kind: kubernetes\nmemory: 1GiB\nimage: a\nenv: [A]\n", "env is .'A'., but must be names with their values"),
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
        with pytest.raises(
            InputError, match=r'is not supported: give "local", a YAML file of a kind among local, sch'
        ):
            read_profile(wrong)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_profile("nowhere.yaml")


def test_connect__an_address_that_nobody_answers_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeptracker.cluster.scheduler._SECONDS_TO_CONNECT", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp") as caught, connect("tcp://127.0.0.1:1"):
        pass
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="http://a:1 is no address of a Dask scheduler"), connect("http://a:1"):
        pass
    with pytest.raises(InputError, match="there is no kind of cluster 'pbs'"), connect(Profile(kind="pbs")):
        pass


@pytest.mark.parametrize(
    ("kind", "module", "settings"),
    [
        ("slurm", "dask_jobqueue", {}),
        ("ssh", "asyncssh", {"hosts": ["a"]}),
        ("kubernetes", "dask_kubernetes.operator", {"image": "a"}),
    ],
)
def test_connect__names_the_extra_where_its_library_is_missing(
    kind: str, module: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    profile = Profile(kind=kind, memory="1GiB", settings=settings)
    with pytest.raises(MissingExtraError, match=r'pip install "deeptracker\[cluster\]"'), connect(profile):
        pass


def test_import__loads_the_library_of_no_kind() -> None:
    heavy = ("distributed", "dask_jobqueue", "dask_kubernetes", "kr8s", "asyncssh", "cryptography")
    code = f"import sys, deeptracker.cluster; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_command__says_mistakes_in_one_line(tmp_path: Path, original: Path) -> None:
    (tmp_path / "mine.yaml").write_text("kind: pbs\n")
    assert "there is no kind 'pbs'" in one_line(deeptracker("analyze", original, "--cluster", tmp_path / "mine.yaml"))


def test_local__workers_take_one_core_each_and_listen_on_this_machine_only() -> None:
    def listening() -> set[str]:
        import psutil

        found = psutil.Process().net_connections("tcp")
        return {item.laddr.ip for item in found if item.status == psutil.CONN_LISTEN}

    with connect(Profile(workers=1)) as client:
        (variables,) = client.run(lambda: dict(os.environ)).values()
        assert variables.items() >= ENVIRONMENT.items()
        assert list(client.run(listening).values()) == [{"127.0.0.1"}]
        assert client.run_on_scheduler(listening) == {"127.0.0.1"}
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.worker_ttl) == 60
