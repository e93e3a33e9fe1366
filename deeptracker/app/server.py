"""Serving the pages: on this machine only unless told otherwise, with the origin of every connection checked."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from panel.io.server import get_server
from threadpoolctl import threadpool_limits
from tornado.ioloop import PeriodicCallback
from tornado.websocket import WebSocketClosedError

from deeptracker.app.explorer import Explorer
from deeptracker.app.pages import compare_page, is_run, live_page, page
from deeptracker.app.sweep import EVERY, Sweep
from deeptracker.errors import InputError
from deeptracker.store import open_run

TRIES = 50


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def free_port(host: str, port: int) -> int:
    """``port`` where it is free, else the next free one; 0 = any. InputError where there is none."""
    for candidate in [0] if port == 0 else range(port, min(port + TRIES, 65536)):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except PermissionError:
                raise InputError(f"port {candidate} needs more rights: choose one above 1023") from None
            except socket.gaierror:
                raise InputError(f"host {host!r} is not an address of this machine") from None
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise InputError(f"no free port from {port} to {port + TRIES - 1} on {host}: choose another with port=")


def server(
    path: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 5006,
    password: str | None = None,
    allow_remote: bool = False,
    origins: tuple[str, ...] = (),
) -> Any:
    """A Tornado server with the page of ``path``, not started; see ``serve``."""
    if not is_loopback(host) and password is None and not allow_remote:
        raise InputError(
            f"host {host} can be reached from other machines: give a password, or allow_remote=True to serve the run "
            "to anybody who can reach it"
        )
    if is_run(path):
        Explorer(open_run(path), whole=False)  # the first visitor waits for no import and no first read
    port = free_port(host, port)
    known = (
        {f"{name}:{port}" for name in (host, "localhost", "127.0.0.1")} if is_loopback(host) else {f"{host}:{port}"}
    )
    threadpool_limits(1, user_api="blas")  # its threads spin after each product, on cores that visitors wait for
    options: dict[str, Any] = {}
    if password is not None:  # without a secret for its cookies, basic authentication answers every request with 500
        options = {"basic_auth": password, "cookie_secret": secrets.token_hex(32)}
    return get_server(
        {"/": lambda: page(path), "/live": lambda: live_page(path), "/compare": lambda: compare_page([path])},
        port=port,
        address=host,
        websocket_origin=sorted(known | set(origins)),
        title="DeepTracker",
        start=False,
        show=False,
        verbose=False,
        **options,
    )


def serve(
    path: str | Path,
    host: str = "127.0.0.1",
    port: int = 5006,
    *,
    password: str | None = None,
    allow_remote: bool = False,
    origins: tuple[str, ...] = (),
    show: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the explorer of a run, or the catalogue of a folder, until interrupted.

    Under ``/live`` lies the page of a training that goes on, under ``/compare`` the runs of a folder side by side.

    Parameters
    ----------
    path : a run, or a folder that holds runs.
    host, port : where to listen; port 0 = any free one, a taken port leads to the next free one.
    password : asked for in the browser (basic authentication).
    allow_remote : listen beyond this machine without a password.
    origins : further ``host:port`` under which browsers may reach the page, behind a proxy for instance.
    show : open a browser.
    ready : called once with the address when the server listens; default prints it.

    Raises
    ------
    RunError : the path is neither a run nor a folder with runs.
    InputError : a host beyond this machine without password or ``allow_remote``, or no free port.
    """
    running = server(path, host=host, port=port, password=password, allow_remote=allow_remote, origins=origins)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{running.port}/"
    (ready or (lambda url: print(f"DeepTracker serves {path} at {url} (Ctrl-C ends it)", flush=True)))(address)
    if show:
        webbrowser.open(address)
    running.start()
    running.io_loop.asyncio_loop.set_exception_handler(_unless_left)
    sweep = Sweep(lambda: [session.id for session in running.get_sessions()])
    PeriodicCallback(sweep.look, EVERY).start()
    try:
        running.io_loop.start()
    except KeyboardInterrupt:
        pass
    finally:
        running.stop()


def _unless_left(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A visitor who left while something was under way to him is no error; everything else is."""
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


__all__ = ["free_port", "is_loopback", "serve", "server"]
