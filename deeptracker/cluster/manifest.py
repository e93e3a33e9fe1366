"""A profile of kind ``kubernetes`` as resources: the DaskCluster that the operator acts on, and a Secret for TLS."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeptracker.cluster.profile import Profile
from deeptracker.cluster.workers import ENVIRONMENT, SECONDS_UNHEARD

if TYPE_CHECKING:
    from distributed import Security

PORT = 8786  # of the scheduler, inside the cluster
_CERTIFICATES = "/etc/deeptracker-tls"  # where pods find them
_PARTS = ("ca", "cert", "key")


def cluster(profile: Profile, name: str, security: Security | None) -> dict[str, Any]:
    """The DaskCluster: a scheduler, a service in front of it, workers.

    Each container may take what its worker is allowed to, and is killed where it takes more. Nothing of Kubernetes'
    API is mounted into the pods, and they get the RUN from claims (volumes) or, in a bucket, by secrets.
    """
    from dask_kubernetes.operator import make_cluster_spec

    settings = profile.settings
    worker = ["dask", "worker", "--nthreads", str(profile.threads), "--memory-limit", str(profile.memory)]
    environment = ENVIRONMENT | {key: str(value) for key, value in settings.get("env", {}).items()}
    made: dict[str, Any] = make_cluster_spec(
        name=name,
        image=settings["image"],
        n_workers=profile.workers or 1,
        worker_command=[*worker, *_tls(security)],
        scheduler_service_type=settings.get("service", "ClusterIP"),
    )
    pods = [made["spec"][role]["spec"] for role in ("scheduler", "worker")]
    scheduler, workers = (pod["containers"][0] for pod in pods)
    # The commands are those of today's Dask: dask-scheduler, which the template names, is gone.
    scheduler["args"] = ["dask", "scheduler", "--host", "0.0.0.0", "--port", str(PORT), *_tls(security)]
    scheduler["env"] = _variables({"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{SECONDS_UNHEARD:g}s"})
    workers["env"] = _variables(environment)
    if security is not None:  # the operator would name the scheduler tcp://
        scheduler["args"] += ["--protocol", "tls"]
        workers["args"] += ["--protocol", "tls"]
        workers["env"] += _variables({"DASK_SCHEDULER_ADDRESS": f"tls://{name}-scheduler:{PORT}"})
    bytes_of_worker = quantity(str(profile.memory))
    needs = {"memory": bytes_of_worker, "cpu": str(profile.threads)}
    workers["resources"] = {"requests": needs, "limits": needs}
    scheduler["resources"] = {"requests": {"memory": "1Gi", "cpu": "500m"}, "limits": {"memory": "4Gi"}}
    workers["envFrom"] = [{"secretRef": {"name": secret}} for secret in settings.get("secrets", [])]
    for pod in pods:
        _mount(pod, name, security, settings.get("claims", {}) if pod is pods[1] else {})
        pod["automountServiceAccountToken"] = False
    return made


def secret(name: str, security: Security, owner: dict[str, Any]) -> dict[str, Any]:
    """Certificates and key for the pods; Kubernetes deletes them together with the DaskCluster that owns them."""
    files = dict(zip(_PARTS, (security.tls_ca_file, security.tls_client_cert, security.tls_client_key), strict=True))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"{name}-tls",
            "ownerReferences": [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": owner["kind"],
                    "name": name,
                    "uid": owner["metadata"]["uid"],
                }
            ],
        },
        "type": "Opaque",
        "data": {f"{part}.pem": base64.b64encode(Path(path).read_bytes()).decode() for part, path in files.items()},
    }


def quantity(size: str) -> str:
    """A size as Kubernetes writes it: whole MiB."""
    from dask.utils import parse_bytes

    return f"{max(1, parse_bytes(size) // 2**20)}Mi"


def _tls(security: Security | None) -> list[str]:
    if security is None:
        return []
    options = {"--tls-ca-file": "ca", "--tls-cert": "cert", "--tls-key": "key"}
    return [word for option, part in options.items() for word in (option, f"{_CERTIFICATES}/{part}.pem")]


def _variables(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _mount(pod: dict[str, Any], name: str, security: Security | None, claims: dict[str, Any]) -> None:
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    mounts: list[dict[str, Any]] = [{"name": claim, "mountPath": str(path)} for claim, path in claims.items()]
    if security is not None:
        volumes.append({"name": "tls", "secret": {"secretName": f"{name}-tls", "defaultMode": 0o400}})
        mounts.append({"name": "tls", "mountPath": _CERTIFICATES, "readOnly": True})
    if volumes:
        pod["volumes"] = volumes
        pod["containers"][0]["volumeMounts"] = mounts


__all__ = ["PORT", "cluster", "quantity", "secret"]
