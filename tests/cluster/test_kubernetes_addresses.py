"""How the scheduler in a pod is reached: as its service says, by name from inside, else by a forwarded port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import kr8s
import kr8s.objects
import pytest

from deeptracker.cluster import Profile, kubernetes
from deeptracker.cluster.security import secured

ADDRESSES = [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.0.7"}]
NODES = [{"status": {"addresses": ADDRESSES}}]
READY = {"metadata": {"name": "pod"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


class Pod:
    """A pod whose ports are taken as often as said."""

    def __init__(self, taken: int = 0) -> None:
        self.raw, self.taken = READY, taken

    @contextmanager
    def portforward(self, port: int, local_port: str) -> Iterator[int]:
        assert (port, local_port) == (8786, "auto")
        if self.taken:
            self.taken -= 1
            raise OSError("address already in use")
        yield 4321


def reached(patch: pytest.MonkeyPatch, kind: str, *, tls: bool = False) -> str:
    """The address by which this process reaches a scheduler behind a service of a kind."""
    ports = [{"name": "http", "port": 8787}, {"name": "tcp-comm", "port": 8786, "nodePort": 31000}]
    balanced = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}
    service = SimpleNamespace(raw={"spec": {"type": kind, "ports": ports}, "status": balanced}, refresh=lambda: None)
    patch.setattr(kr8s.objects.Service, "get", lambda name, **_: service)
    made = SimpleNamespace(name="mine", namespace="lab", raw={"status": {"phase": "Running"}}, refresh=lambda: None)
    found = {kr8s.objects.Pod: [Pod()], kr8s.objects.Node: [SimpleNamespace(raw=node) for node in NODES]}
    api = SimpleNamespace(get=lambda kind, **_: found[kind])
    with secured(tls) as security, kubernetes._scheduler(made, api, 1, security) as address:
        return address


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("ClusterIP", "tcp://127.0.0.1:4321"),
        ("NodePort", "tcp://10.0.0.7:31000"),
        ("LoadBalancer", "tcp://192.0.2.9:8786"),
    ],
)
def test_address__is_that_of_the_service(monkeypatch: pytest.MonkeyPatch, kind: str, address: str) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert reached(monkeypatch, kind) == address


def test_address__in_a_pod_is_the_name_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert reached(monkeypatch, "ClusterIP") == "tcp://mine-scheduler.lab:8786"
    assert reached(monkeypatch, "ClusterIP", tls=True) == "tls://mine-scheduler.lab:8786"


def test_forwarded_port__that_was_taken_just_before_is_another_one() -> None:
    with kubernetes._forwarded(Pod(taken=4)) as port:
        assert port == 4321
    with pytest.raises(OSError, match="already in use"), kubernetes._forwarded(Pod(taken=5)):
        pass


def test_api__is_that_of_the_context_and_the_namespace_of_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def api(**wanted: Any) -> Any:
        asked.append(wanted)
        return SimpleNamespace()

    monkeypatch.setattr(kr8s, "api", api)
    monkeypatch.setenv("KUBECONFIG", "/here")
    settings = {"image": "a", "context": "there", "namespace": "lab"}
    kubernetes._api(Profile(kind="kubernetes", settings=settings))
    monkeypatch.delenv("KUBECONFIG")
    kubernetes._api(Profile(kind="kubernetes", settings={"image": "a"}))
    assert asked == [{"context": "there", "namespace": "lab", "kubeconfig": "/here"}, {}]
