"""Kubernetes: the manifest against the operator's schema, an analysis by pods, and what is said where there are none.

The API server is a stand-in of ours (``kubernetes_server.py``): it judges manifests by the schema that the operator
ships, and runs the containers' commands. No kubelet, no real operator.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import Server, deeptracker
from crd import faults
from same import assert_same

from deeptracker.cluster import Profile, connect, read_profile
from deeptracker.cluster.manifest import cluster
from deeptracker.cluster.security import secured
from deeptracker.cluster.workers import ENVIRONMENT
from deeptracker.errors import InputError
from deeptracker.store import Run, open_run

FULL: dict[str, Any] = {
    "image": "registry/deeptracker:1",
    "env": {"AWS_REGION": "eu-central-1", "RAYON_NUM_THREADS": 2},
    "claims": {"runs": "/runs"},
    "secrets": ["bucket"],
    "service": "NodePort",
}


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"]}


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("settings", [{"image": "plain"}, FULL], ids=["least", "most"])
def test_manifest__is_a_dask_cluster_to_the_schema_of_the_operator(tls: bool, settings: dict[str, Any]) -> None:
    with secured(tls) as security:
        profile = Profile(kind="kubernetes", workers=3, threads=2, memory="4GiB", settings=settings)
        made = cluster(profile, "mine", security)
    assert faults(made) == []
    worker, scheduler = (made["spec"][role]["spec"]["containers"][0] for role in ("worker", "scheduler"))
    assert made["spec"]["worker"]["replicas"] == 3
    assert worker["args"][:6] == ["dask", "worker", "--nthreads", "2", "--memory-limit", "4GiB"]
    assert worker["resources"]["limits"] == {"memory": "4096Mi", "cpu": "2"}
    assert (
        variables(worker).items()
        >= (ENVIRONMENT | {"RAYON_NUM_THREADS": variables(worker)["RAYON_NUM_THREADS"]}).items()
    )
    assert variables(scheduler) == {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "60s"}
    assert ("--tls-key" in worker["args"]) == ("--tls-key" in scheduler["args"]) == tls
    assert ("DASK_SCHEDULER_ADDRESS" in variables(worker)) == tls


def test_manifest__holds_what_the_profile_asks_for() -> None:
    made = cluster(Profile(kind="kubernetes", memory="500MiB", settings=FULL), "mine", None)
    pod = made["spec"]["worker"]["spec"]
    worker = pod["containers"][0]
    assert variables(worker)["AWS_REGION"] == "eu-central-1"
    assert variables(worker)["RAYON_NUM_THREADS"] == "2"
    assert worker["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert pod["volumes"] == [{"name": "runs", "persistentVolumeClaim": {"claimName": "runs"}}]
    assert worker["volumeMounts"] == [{"name": "runs", "mountPath": "/runs"}]
    assert made["spec"]["scheduler"]["service"]["type"] == "NodePort"


def test_manifest__gives_pods_no_more_than_they_need() -> None:
    with secured(True) as security:
        made = cluster(Profile(kind="kubernetes", memory="1GiB", settings=FULL), "mine", security)
    scheduler, worker = (made["spec"][role]["spec"] for role in ("scheduler", "worker"))
    certificates = {"name": "tls", "secret": {"secretName": "mine-tls", "defaultMode": 0o400}}
    assert scheduler["volumes"] == [certificates], "the run is for workers"
    assert worker["volumes"][1:] == [certificates]
    assert scheduler["automountServiceAccountToken"] is worker["automountServiceAccountToken"] is False
    needs = worker["containers"][0]["resources"]
    assert needs["requests"] == needs["limits"], "or the node may promise the memory to others"
    least = cluster(Profile(kind="kubernetes", memory="1GiB", settings={"image": "plain"}), "mine", None)
    assert least["spec"]["scheduler"]["service"]["type"] == "ClusterIP", "not to be reached from outside"
    assert least["spec"]["worker"]["replicas"] == 1


def test_schema__finds_what_is_wrong() -> None:
    made = cluster(Profile(kind="kubernetes", memory="1GiB", settings={"image": "plain"}), "mine", None)
    made["spec"]["worker"]["spec"]["containers"][0]["imagePullSecret"] = "typo"
    made["spec"]["worker"]["replicas"] = "3"
    assert len(faults(made)) == 2


def test_command__analyses_by_pods_over_tls_and_a_forwarded_port(
    fresh: Path, alone: Run, server: Server, tmp_path: Path
) -> None:
    folder = server("kubernetes_server.py", "kubeconfig")
    profile = tmp_path / "mine.yaml"
    profile.write_text("kind: kubernetes\nimage: plain\nname: mine\nworkers: 1\nmemory: 1GiB\ntls: true\n")
    done = deeptracker("analyze", fresh, "--cluster", profile, KUBECONFIG=str(folder / "kubeconfig"))
    assert done.returncode == 0, done.stderr + (folder / "pods.log").read_text()
    assert_same(open_run(fresh), alone)
    kinds = [json.loads(line) for line in (folder / "made.jsonl").read_text().splitlines()]
    assert [made["kind"] for made in kinds] == ["DaskCluster", "Secret"]
    assert kinds[1]["metadata"]["ownerReferences"][0]["uid"] == "1234"
    assert "tls://127.0.0.1" in (folder / "pods.log").read_text()
    assert (folder / "deleted").exists()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no-operator", "the Dask operator is not installed (helm install"),
        ("idle", "after 1 s the Dask operator does not act: is it running?"),
        ("no-image", "ImagePullBackOff: Back-off pulling image"),
    ],
)
def test_connect__says_in_one_line_why_there_are_no_pods(
    server: Server, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    folder = server("kubernetes_server.py", "kubeconfig", fault)
    monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
    profile = Profile(kind="kubernetes", memory="1GiB", wait=1, settings={"image": "plain"})
    with pytest.raises(InputError, match=re.escape(said)) as caught, connect(profile):
        pass
    assert "\n" not in str(caught.value)
    assert (folder / "deleted").exists() == (fault != "no-operator")


def test_connect__without_an_api_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("kind: kubernetes\nimage: plain\nmemory: 1GiB\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere and this machine hold no configuration to use") as caught:
        connect(profile).__enter__()
    assert "\n" not in str(caught.value)
    config = {
        "apiVersion": "v1",
        "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "test",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(InputError, match="the API server does not answer"):
        connect(profile).__enter__()
    with pytest.raises(InputError, match="No such context elsewhere"):
        connect(
            Profile(kind="kubernetes", memory="1GiB", settings={"image": "a", "context": "elsewhere"})
        ).__enter__()
    with pytest.raises(InputError, match="name is 'Mine', but must be small letters"):
        connect(Profile(kind="kubernetes", memory="1GiB", settings={"image": "a", "name": "Mine"})).__enter__()
    with pytest.raises(InputError, match="at most 45"):
        connect(Profile(kind="kubernetes", memory="1GiB", settings={"image": "a", "name": "m" * 46})).__enter__()
    assert read_profile(profile).settings == {"image": "plain"}
