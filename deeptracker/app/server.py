"""Serving the pages: on this machine only unless told otherwise, with the origin of every connection checked."""

from __future__ import annotations

import asyncio
import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from panel.io.server import get_server
from threadpoolctl import threadpool_limits
from tornado.ioloop import PeriodicCallback
from tornado.websocket import WebSocketClosedError

from deeptracker.app.explorer import Explorer
from deeptracker.app.guard import Guard
from deeptracker.app.lobby import Lobby, connections
from deeptracker.app.login import Asks, Browsers, Password
from deeptracker.app.names import is_loopback, names_of
from deeptracker.app.pages import compare_page, is_run, live_page, page, told
from deeptracker.app.routes import LONGEST, narrow
from deeptracker.app.sweep import EVERY, Sweep
from deeptracker.app.visitors import SESSIONS, Visitors
from deeptracker.app.watching import stop_all
from deeptracker.errors import InputError
from deeptracker.store import open_run, place_of

TRIES = 50
PAGES = {"/": page, "/live": live_page, "/compare": lambda path: compare_page([path])}
PATIENCE = 60.0
"""Seconds within which a browser must have said what it wants."""
LOOK = 5_000
"""Milliseconds between two looks for sessions without a connection; they are kept for 15 seconds."""


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
    origins: Sequence[str] = (),
    max_sessions: int = SESSIONS,
    max_memory: str | int | None = None,
) -> Any:
    """A Tornado server with the page of ``path``, not started; see ``serve``."""
    if password is not None and not password.strip():
        raise InputError("the password is empty: anybody could enter; leave it out, or choose one")
    if not is_loopback(host) and password is None and not allow_remote:
        raise InputError(
            f"host {host} can be reached from other machines: give a password, or allow_remote=True to serve the run "
            "to anybody who can reach it"
        )
    names, visitors = names_of(host, origins), Visitors(max_sessions, max_memory)
    if is_run(path):
        Explorer(open_run(path), whole=False)  # the first visitor waits for no import and no first read
    port, name = free_port(host, port), place_of(path).name
    threadpool_limits(1, user_api="blas")  # its threads spin after each product, on cores that visitors wait for
    running = get_server(
        {place: told(name, partial(make, path)) for place, make in PAGES.items()},
        port=port,
        address=host,
        title="DeepTracker",
        start=False,
        show=False,
        verbose=False,
        sign_sessions=True,  # else anybody makes tokens, and with them sessions of any name
        secret_key=secrets.token_bytes(32),
        include_headers=[],  # a token lies in the page, where scripts can read it: no cookie may be in it
        include_cookies=[],
        check_unused_sessions_milliseconds=LOOK,
        websocket_max_message_size=LONGEST,
        http_server_kwargs={
            "idle_connection_timeout": PATIENCE, "body_timeout": PATIENCE, "max_body_size": LONGEST,
            "max_buffer_size": 4 * LONGEST,
        },
        **({} if password is None else {"auth_provider": Asks()}),
    )  # fmt: skip
    tornado, http = running._tornado, running._http
    tornado.settings.update(
        names=names,
        port=port,
        password=None if password is None else Password(password),
        browsers=Browsers(),
        cookie_secret=secrets.token_hex(32),
    )
    narrow(tornado)
    visitors.watch(tornado.applications.values())
    http.request_callback = Guard(tornado, names)
    Lobby(http, tornado, connections(max_sessions))
    return running


def serve(
    path: str | Path,
    host: str = "127.0.0.1",
    port: int = 5006,
    *,
    password: str | None = None,
    allow_remote: bool = False,
    origins: Sequence[str] = (),
    max_sessions: int = SESSIONS,
    max_memory: str | int | None = None,
    show: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the explorer of a run, or the catalogue of a folder, until interrupted.

    Under ``/live`` lies the page of a training that goes on, under ``/compare`` the runs of a folder side by side.

    Parameters
    ----------
    path : a run, or a folder that holds runs.
    host, port : where to listen; port 0 = any free one, a taken port leads to the next free one.
    password : asked for in the browser, once a week.
    allow_remote : listen beyond this machine without a password.
    origins : further ``host`` or ``host:port`` under which browsers may reach the page, behind a proxy for instance.
        Known by themselves are loopback names and, where others can reach the server, the names of this machine and
        addresses in digits.
    max_sessions : pages open at once; whoever comes then reads why there is no room.
    max_memory : bytes, or a size such as ``"4GiB"``, above which nobody else is let in; half of the machine's
        if left out.
    show : open a browser.
    ready : called once with the address when the server listens; default prints it.

    Raises
    ------
    RunError : the path is neither a run nor a folder with runs.
    InputError : a host beyond this machine without password or ``allow_remote``, an empty password, an origin with
        wildcards, a limit that is none, or no free port.
    """
    running = server(
        path, host=host, port=port, password=password, allow_remote=allow_remote, origins=origins,
        max_sessions=max_sessions, max_memory=max_memory,
    )  # fmt: skip
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
        stop_all()


def _unless_left(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A visitor who left while something was under way to him is no error; everything else is."""
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


__all__ = ["free_port", "is_loopback", "serve", "server"]
