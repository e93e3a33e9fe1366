"""TLS: the same result, and nobody without a certificate of this cluster takes part."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import dask
import pytest
import yaml
from distributed import Client
from same import assert_same

from deeptracker.analysis import analyze
from deeptracker.cluster import Profile, connect
from deeptracker.cluster.security import secured
from deeptracker.errors import InputError, MissingExtraError
from deeptracker.store import Run


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connect(Profile(workers=2, tls=True)) as connected:
        yield connected


def files(client: Client) -> Mapping[str, str]:
    """Where the certificate of a cluster lies as long as it runs."""
    return {
        "ca": client.security.tls_ca_file,
        "cert": client.security.tls_client_cert,
        "key": client.security.tls_client_key,
    }


def test_analyze__gives_the_same_over_tls(path: Path, alone: Run, client: Client) -> None:
    assert client.scheduler.address.startswith("tls://")
    workers = client.scheduler_info()["workers"]
    assert len(workers) == 2
    assert all(
        address.startswith("tls://") and worker["nanny"].startswith("tls://") for address, worker in workers.items()
    )
    assert_same(analyze(path, client=client), alone)


def test_key__is_in_a_file_of_the_user_and_on_no_command_line(client: Client) -> None:
    key = Path(files(client)["key"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    secret = key.read_text().splitlines()[1]
    commands = [Path(f"/proc/{pid}/cmdline") for pid in client.run(os.getppid).values()]
    if commands[0].exists():
        assert all(secret not in command.read_text() for command in commands)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_connect__without_a_certificate_is_refused_in_one_line(
    client: Client, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deeptracker.cluster.scheduler._SECONDS_TO_CONNECT", 2)
    address = client.scheduler.address.replace("tls://", f"{scheme}://")
    expected = "needs certificates: give --cluster a profile" if scheme == "tls" else "if it uses TLS, the address is"
    with pytest.raises(InputError, match=expected) as caught, connect(address):
        pass
    assert "\n" not in str(caught.value)


def test_connect__with_another_certificate_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeptracker.cluster.scheduler._SECONDS_TO_CONNECT", 2)
    with secured(True) as foreign:
        assert foreign is not None
        other = {"ca": foreign.tls_ca_file, "cert": foreign.tls_client_cert, "key": foreign.tls_client_key}
        profile = Profile(kind="scheduler", settings={"address": client.scheduler.address}, tls=other)
        with pytest.raises(InputError, match="does its certificate belong to yours"), connect(profile):
            pass


def test_connect__takes_the_certificates_from_a_profile(client: Client, tmp_path: Path) -> None:
    profile = tmp_path / "theirs.yaml"
    content = {"kind": "scheduler", "address": client.scheduler.address, "tls": dict(files(client))}
    profile.write_text(yaml.safe_dump(content))
    with connect(profile) as connected:
        assert connected.scheduler_info()["id"] == client.scheduler_info()["id"]


def test_connect__takes_the_certificates_from_the_configuration_of_dask(client: Client) -> None:
    place = {"ca-file": "ca", "client.cert": "cert", "client.key": "key"}
    given = {f"distributed.comm.tls.{name}": files(client)[part] for name, part in place.items()}
    with dask.config.set(given), connect(client.scheduler.address) as connected:
        assert connected.scheduler_info()["id"] == client.scheduler_info()["id"]


def test_profile__with_files_that_are_no_certificates_is_refused(tmp_path: Path) -> None:
    for part in ("ca", "cert", "key"):
        (tmp_path / part).write_text("nothing\n")
    profile = Profile(tls={part: str(tmp_path / part) for part in ("ca", "cert", "key")})
    with pytest.raises(InputError, match="no certificate and key that belong together"), connect(profile):
        pass


def test_profile__certificates_for_an_address_without_tls_are_refused(client: Client) -> None:
    profile = Profile(kind="scheduler", settings={"address": "tcp://a:1"}, tls=files(client))
    with pytest.raises(InputError, match="tcp://a:1 is not encrypted: give tls://a:1"), connect(profile):
        pass


def test_tls__certificates_lie_where_other_hosts_find_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "shared").mkdir()
    with secured(True, "~/shared") as security:
        assert security is not None
        for part in (security.tls_ca_file, security.tls_client_cert, security.tls_client_key):
            assert Path(part).is_relative_to(tmp_path / "shared")
    with pytest.raises(InputError, match=r"certificates cannot be written to .*nowhere"), secured(True, "~/nowhere"):
        pass


def test_tls__certificates_end_with_the_cluster_and_need_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    with secured(True) as security:
        assert security is not None
        assert Path(security.tls_client_key).exists()
    assert not Path(security.tls_client_key).parent.exists()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match=r'pip install "deeptracker\[cluster\]"'), secured(True):
        pass
