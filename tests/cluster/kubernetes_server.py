"""As much of Kubernetes as a DaskCluster needs, on loopback: API server, Dask operator, and nodes that run pods.

    python kubernetes_server.py FOLDER [FAULT]

writes ``kubeconfig`` into the folder, the objects that were made into ``made.jsonl``, and ``deleted`` when the
cluster was deleted. Pods are processes with the commands and variables of the manifest, no more; what a node does
for them is done here: names of services are resolved, secrets mounted, $(NAME) put in. FAULT: ``no-operator`` (kind
unknown), ``idle`` (nobody acts on the DaskCluster), ``no-image`` (pods cannot start).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, WSMsgType, web
from crd import faults

NAMESPACE = "lab"
DASK = f"/apis/kubernetes.dask.org/v1/namespaces/{NAMESPACE}/daskclusters"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
CERTIFICATES = "/etc/deeptracker-tls"


class Kubernetes:
    """One namespace with at most one DaskCluster."""

    def __init__(self, folder: Path, fault: str) -> None:
        self.folder, self.fault = folder, fault
        self.cluster: dict[str, Any] | None = None
        self.pods: list[subprocess.Popen[bytes]] = []
        self.ports = [_free_port(), _free_port()]  # of the scheduler: what Dask speaks, and its pages

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/version/", self.version),
            web.get(DASK + "/{name}", self.get),
            web.post(DASK, self.create),
            web.delete(DASK + "/{name}", self.delete),
            web.post(CORE + "/secrets", self.mount),
            web.get(CORE + "/pods", self.list_pods),
            web.get(CORE + "/pods/{name}", self.get_pod),
            web.get(CORE + "/pods/{name}/portforward", self.forward),
            web.get(CORE + "/services", self.list_services),
            web.get(CORE + "/services/{name}", self.get_service),
        ]

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})

    async def get(self, request: web.Request) -> web.Response:
        return _refused(404, "no such DaskCluster") if self.cluster is None else web.json_response(self.cluster)

    async def create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if self.fault == "no-operator":
            return web.Response(status=404, text="404 page not found")
        if wrong := faults(asked):
            return _refused(422, "; ".join(wrong))
        self._note(asked)
        asked["metadata"] |= {"uid": "1234", "namespace": NAMESPACE}
        self.cluster = asked | {"status": {} if self.fault == "idle" else {"phase": "Running"}}
        if not any("secret" in volume for volume in self._pod("scheduler").get("volumes", [])):
            self._start(None)
        return web.json_response(self.cluster, status=201)

    async def mount(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self._note(asked)
        folder = self.folder / "secret"
        folder.mkdir(mode=0o700)
        for name, content in asked["data"].items():
            (folder / name).write_bytes(base64.b64decode(content))
        self._start(folder)
        return web.json_response(asked, status=201)

    async def delete(self, request: web.Request) -> web.Response:
        for pod in self.pods:
            pod.terminate()
        self.cluster = None
        (self.folder / "deleted").touch()
        return web.json_response({"kind": "Status", "status": "Success"})

    async def list_pods(self, request: web.Request) -> web.Response:
        pods = [] if self.cluster is None or self.fault == "idle" else [await self._scheduler_pod()]
        return web.json_response({"apiVersion": "v1", "kind": "PodList", "items": pods})

    async def get_pod(self, request: web.Request) -> web.Response:
        return web.json_response(await self._scheduler_pod())

    async def list_services(self, request: web.Request) -> web.Response:
        return web.json_response({"apiVersion": "v1", "kind": "ServiceList", "items": [self._service()]})

    async def get_service(self, request: web.Request) -> web.Response:
        return web.json_response(self._service())

    def _service(self) -> dict[str, Any]:
        assert self.cluster is not None
        spec = json.loads(json.dumps(self.cluster["spec"]["scheduler"]["service"]))
        if spec["type"] == "LoadBalancer":
            spec["ports"][0]["port"] = self.ports[0]
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"{self._name}-scheduler", "namespace": NAMESPACE},
            "spec": spec,
            "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
        }

    async def forward(self, request: web.Request) -> web.WebSocketResponse:
        """Port forwarding: frames begin with the number of a channel, and the first of each tells the port."""
        assert request.query["ports"] == "8786"
        frames = web.WebSocketResponse()
        await frames.prepare(request)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[0])
        for channel in (b"\x00", b"\x01"):
            await frames.send_bytes(channel + (8786).to_bytes(2, "little"))

        async def back() -> None:
            while data := await reader.read(65536):
                await frames.send_bytes(b"\x00" + data)

        task = asyncio.create_task(back())
        async for frame in frames:
            if frame.type == WSMsgType.BINARY:
                writer.write(frame.data[1:])
                await writer.drain()
        task.cancel()
        writer.close()
        return frames

    @property
    def _name(self) -> str:
        assert self.cluster is not None
        return str(self.cluster["metadata"]["name"])

    def _note(self, made: dict[str, Any]) -> None:
        with (self.folder / "made.jsonl").open("a") as file:
            print(json.dumps(made), file=file)

    def _pod(self, role: str) -> dict[str, Any]:
        assert self.cluster is not None
        pod: dict[str, Any] = self.cluster["spec"][role]["spec"]
        return pod

    async def _scheduler_pod(self) -> dict[str, Any]:
        status: dict[str, Any] = {"phase": "Pending"}
        if self.fault == "no-image":
            waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere/none"'}
            status["containerStatuses"] = [{"name": "scheduler", "state": {"waiting": waiting}}]
        elif await self._healthy():
            conditions = [{"type": name, "status": "True"} for name in ("Ready", "ContainersReady")]
            status = {"phase": "Running", "conditions": conditions}
        metadata = {"name": f"{self._name}-scheduler-1", "namespace": NAMESPACE}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}

    async def _healthy(self) -> bool:
        """What the readiness probe of the pod asks."""
        probe = self._pod("scheduler")["containers"][0]["readinessProbe"]["httpGet"]
        try:
            async with (
                ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.ports[1]}{probe['path']}") as said,
            ):
                return said.status == 200
        except OSError:
            return False

    def _start(self, secret: Path | None) -> None:
        if self.fault:
            return
        service = f"{self._name}-scheduler"
        own = {"DASK_SCHEDULER_ADDRESS": f"tcp://{service}.{NAMESPACE}.svc.cluster.local:8786"}
        resolved = [(rf"{service}[a-z.]*:8786", f"127.0.0.1:{self.ports[0]}"), (r"^8786$", str(self.ports[0]))]
        resolved += [("^8788$", "127.0.0.1:0"), (CERTIFICATES, str(secret))]

        def run(role: str, own: dict[str, str]) -> None:
            container = self._pod(role)["containers"][0]
            given = own | {item["name"]: item["value"] for item in container["env"]}
            words = [re.sub(r"\$\((\w+)\)", lambda name: given[name[1]], word) for word in container["args"]]
            if role == "scheduler":
                words += ["--dashboard-address", f"127.0.0.1:{self.ports[1]}"]
            for pattern, instead in resolved:
                words = [re.sub(pattern, instead, word) for word in words]
                given = {name: re.sub(pattern, instead, value) for name, value in given.items()}
            log = (self.folder / "pods.log").open("ab")
            command = [sys.executable, "-m", *words]
            self.pods.append(subprocess.Popen(command, env=os.environ | given, stdout=log, stderr=log))

        run("scheduler", {})
        for number in range(self.cluster["spec"]["worker"]["replicas"] if self.cluster else 0):
            run("worker", own | {"DASK_WORKER_NAME": f"{self._name}-default-worker-{number}"})


def _refused(status: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": status, "message": message}, status=status)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def serve(folder: Path, fault: str) -> None:
    application = web.Application()
    kubernetes = Kubernetes(folder, fault)
    application.add_routes(kubernetes.routes())
    runner = web.AppRunner(application)
    await runner.setup()
    port = _free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "here", "user": "me", "namespace": NAMESPACE}}],
        "current-context": "test",
    }
    (folder / "part").write_text(json.dumps(config))
    (folder / "part").rename(folder / "kubeconfig")
    try:
        await asyncio.Event().wait()
    finally:
        for pod in kubernetes.pods:
            pod.kill()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), "".join(sys.argv[2:])))
