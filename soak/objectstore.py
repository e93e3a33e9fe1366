"""A real S3 API server on loopback, which counts what is asked of it, can be stopped, and goes on where it was."""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)


class ObjectStore:
    """Objects stay in this process while the server is stopped."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.refuses = False
        self.trouble: Callable[[str, str], str] = lambda method, path: ""
        """What befalls a request: a status, ``slow``, ``reset``, ``lost`` (done, not answered), ``torn`` (half of the
        answer), or nothing.
        """
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer | None = None
        self.port = 0
        self.start()

    def _counted(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if self.refuses:
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InvalidAccessKeyId</Code><StringToSign>for nobody to see</StringToSign></Error>"]
        trouble = self.trouble(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if trouble.isdigit():
            start(f"{trouble} Trouble", [("Content-Type", "application/xml")])
            return [b"<Error><Code>Trouble</Code></Error>"]
        if trouble == "slow":
            time.sleep(0.4)
        if trouble == "reset":
            raise ConnectionResetError
        if trouble in ("lost", "torn"):
            return self._interrupted(environ, start, trouble)
        answer: Iterable[bytes] = self._app(environ, start)
        return answer

    def _interrupted(self, environ: dict[str, Any], start: Callable[..., Any], trouble: str) -> Iterator[bytes]:
        said: list[Any] = []
        body = b"".join(self._app(environ, lambda *head: said.append(head)))
        if trouble == "torn":
            headers = [(name, value) for name, value in said[0][1] if name.lower() != "content-length"]
            start(said[0][0], [*headers, ("Content-Length", str(len(body) + 1))])
            yield body[: len(body) // 2]
        raise ConnectionResetError

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._server = make_server("127.0.0.1", self.port, self._counted, threaded=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Hear nothing more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def environment(self) -> dict[str, str]:
        """What leads here."""
        return {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "notasecret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
        }

    def request(self, method: str, path: str, body: bytes = b"") -> int:
        """A plain request, as any other tool would make it; its status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, body)
        status = connection.getresponse().status
        connection.close()
        return status

    def upload(self, folder: Path, prefix: str) -> None:
        """Put every file of a folder below ``bucket/prefix``."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                assert self.request("PUT", f"/{prefix}/{path.relative_to(folder)}", path.read_bytes()) == 200

    @contextmanager
    def counted(self) -> Iterator[list[tuple[str, str]]]:
        """The requests of this block."""
        found: list[tuple[str, str]] = []
        before = len(self.requests)
        yield found
        found += self.requests[before:]
