"""Workers as pods of Kubernetes, which the Dask operator makes."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from deeptracker.cluster.manifest import PORT, cluster, secret
from deeptracker.cluster.profile import Profile
from deeptracker.cluster.security import secured
from deeptracker.cluster.workers import first_line, missing, ready
from deeptracker.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, Security

_SECONDS_TO_START = 600.0
_SECONDS_OF_OPERATOR = 60.0
_SECONDS_TO_ANSWER = 30
_SECONDS_BETWEEN = 1.0
_PORTS_TRIED = 5
# Why a pod waits, where waiting longer does not help.
_HOPELESS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff", "CreateContainerConfigError"}
_INSTALL = "helm install dask-operator dask-kubernetes-operator --repo https://helm.dask.org -n dask-operator"

Found = TypeVar("Found")


@contextmanager
def started(profile: Profile) -> Iterator[Client]:
    """A client of workers in pods; the DaskCluster, and with it all pods, is deleted after the block.

    Not dask-kubernetes' own ``KubeCluster``: it knows no TLS, and waits without end for pods that cannot start.
    It begins when the first worker is there.

    Raises
    ------
    InputError : no configuration, no API server, no operator, a pod that cannot start, no worker in time.
    MissingExtraError : dask-kubernetes is not installed.
    """
    try:
        import dask_kubernetes.operator  # noqa: F401
        import kr8s.objects
    except ImportError:
        raise missing("kubernetes", "dask-kubernetes") from None
    from distributed import Client

    name = profile.settings.get("name", f"deeptracker-{uuid.uuid4().hex[:8]}")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,43}[a-z0-9])?", name):
        raise InputError(f"name is {name!r}, but must be small letters, digits and -, at most 45 of them")
    seconds = profile.wait or _SECONDS_TO_START
    with secured(profile.tls) as security, ExitStack() as stack:
        api = _api(profile)
        resource = kr8s.objects.new_class("DaskCluster", "kubernetes.dask.org/v1")
        made = resource(cluster(profile, name, security), namespace=api.namespace, api=api)
        stack.enter_context(_existing(made))
        if security is not None:
            with _said("the Secret with the certificates was refused"):
                kr8s.objects.Secret(secret(name, security, made.raw), namespace=api.namespace, api=api).create()
        address = stack.enter_context(_scheduler(made, api, seconds, security))
        try:
            client = stack.enter_context(Client(address, security=security, timeout=_SECONDS_TO_ANSWER))
        except (OSError, TimeoutError) as error:
            raise InputError(f"kubernetes: the scheduler does not answer at {address}: {first_line(error)}") from None
        ready(client, 1, seconds, f"look at kubectl -n {api.namespace} get pods -l dask.org/cluster-name={name}")
        yield client


@contextmanager
def _said(what: str) -> Iterator[None]:
    """One line for whatever the API server, or the way to it, refuses."""
    import httpx
    import kr8s

    of_kr8s = (kr8s.ServerError, kr8s.NotFoundError, kr8s.APITimeoutError, kr8s.ConnectionClosedError)
    try:
        yield
    except (*of_kr8s, httpx.HTTPError, OSError) as error:
        raise InputError(f"kubernetes: {what}: {first_line(error)}") from None


def _api(profile: Profile) -> Any:
    """The API server of the current context, or of the one that the profile names."""
    import kr8s

    wanted = {key: profile.settings[key] for key in ("context", "namespace") if key in profile.settings}
    if "KUBECONFIG" in os.environ:  # said aloud: kr8s keeps what it made for the same words
        wanted["kubeconfig"] = os.environ["KUBECONFIG"]
    with _said("the API server does not answer (check with kubectl get daskclusters)"):
        try:
            api = kr8s.api(**wanted)
        except (ValueError, KeyError) as error:
            where = os.environ.get("KUBECONFIG", "~/.kube/config")
            raise InputError(
                f"kubernetes: {where} and this machine hold no configuration to use: {first_line(error)}"
            ) from None
    api.timeout = _SECONDS_TO_ANSWER
    return api


@contextmanager
def _existing(made: Any) -> Iterator[None]:
    """The DaskCluster, from here to the end of the block."""
    import kr8s

    with _said("the API server was not asked"):
        there = made.exists()
    if there:
        raise InputError(f"kubernetes: there is a DaskCluster {made.name} in {made.namespace}: give another name")
    with _said("the DaskCluster was refused"):
        try:
            made.create()
        except kr8s.ServerError as error:
            unknown = error.response is not None and error.response.status_code == 404
            if unknown and 'namespaces "' not in str(error):
                raise InputError(f"kubernetes: the Dask operator is not installed ({_INSTALL})") from None
            raise
    try:
        yield
    finally:
        with suppress(kr8s.NotFoundError), _said(f"{made.name} could not be deleted (kubectl delete daskcluster)"):
            made.delete()


@contextmanager
def _scheduler(made: Any, api: Any, seconds: float, security: Security | None) -> Iterator[str]:
    """Where this process reaches the scheduler: by name inside the cluster, else as its service says."""
    import kr8s.objects

    def taken() -> bool:
        made.refresh()
        return bool(made.raw.get("status", {}).get("phase"))

    def running() -> Any:
        labels = {"dask.org/cluster-name": made.name, "dask.org/component": "scheduler"}
        pods = list(api.get(kr8s.objects.Pod, namespace=made.namespace, label_selector=labels))
        for pod in pods:
            _hopeful(pod.raw)
        return next((pod for pod in pods if _condition(pod.raw, "Ready")), None)

    _until(taken, min(seconds, _SECONDS_OF_OPERATOR), f"the Dask operator does not act: is it running? ({_INSTALL})")
    where = f"kubectl -n {made.namespace} describe pods -l dask.org/cluster-name={made.name}"
    pod = _until(running, seconds, f"the pod of the scheduler is not ready: {where}")
    with _said("the service of the scheduler is not there"):
        service = kr8s.objects.Service.get(f"{made.name}-scheduler", namespace=made.namespace, api=api, timeout=30)
    scheme = "tcp" if security is None else "tls"
    kind = service.raw["spec"].get("type", "ClusterIP")
    port = next(item for item in service.raw["spec"]["ports"] if item["name"] == "tcp-comm")
    if kind == "LoadBalancer":
        host = _until(lambda: _balanced(service), seconds, "no load balancer took the service")
        yield f"{scheme}://{host}:{port['port']}"
    elif "KUBERNETES_SERVICE_HOST" in os.environ:
        yield f"{scheme}://{made.name}-scheduler.{made.namespace}:{port['port']}"
    elif kind == "NodePort":
        with _said("no node could be asked for its address"):
            node = next(iter(api.get(kr8s.objects.Node))).raw
        inside = [item["address"] for item in node["status"]["addresses"] if item["type"] == "InternalIP"]
        yield f"{scheme}://{inside[0]}:{port['nodePort']}"
    else:
        with _forwarded(pod) as local:
            yield f"{scheme}://127.0.0.1:{local}"


@contextmanager
def _forwarded(pod: Any) -> Iterator[int]:
    """A port of this machine that leads to the scheduler; another one where it was taken just before."""
    with ExitStack() as stack:
        for attempt in range(_PORTS_TRIED):
            try:
                port = stack.enter_context(pod.portforward(PORT, local_port="auto"))
                break
            except OSError:
                if attempt + 1 == _PORTS_TRIED:
                    raise
        yield port


def _balanced(service: Any) -> str:
    service.refresh()
    points = service.raw.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    return points[0].get("hostname") or points[0].get("ip") or ""


def _condition(pod: dict[str, Any], name: str) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(item["type"] == name and item["status"] == "True" for item in conditions)


def _hopeful(pod: dict[str, Any]) -> None:
    """Raise where a container cannot start, however long it is waited for."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in _HOPELESS:
            said = waiting.get("message", "").splitlines()
            raise InputError(
                f"kubernetes: pod {pod['metadata']['name']}: {waiting['reason']}"
                + (f": {said[0]}" if said else f": kubectl logs {pod['metadata']['name']}")
            )


def _until(asked: Callable[[], Found], seconds: float, otherwise: str) -> Found:
    """What is asked for, as soon as it is true; asked once a second."""
    end = time.monotonic() + seconds
    while True:
        with _said("the API server does not answer any more"):
            if answer := asked():
                return answer
        if time.monotonic() > end:
            raise InputError(f"kubernetes: after {seconds:g} s {otherwise}")
        time.sleep(_SECONDS_BETWEEN)


__all__ = ["started"]
