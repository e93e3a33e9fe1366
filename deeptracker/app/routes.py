"""What of Bokeh's and Panel's server is open: pages, their sockets, static files. Everything else is taken away."""

from __future__ import annotations

import logging
import re
import secrets
from html import escape
from pathlib import Path
from traceback import extract_tb
from typing import Any

from bokeh.protocol.exceptions import ProtocolError
from bokeh.server.views.ico_handler import IcoHandler
from bokeh.server.views.multi_root_static_handler import MultiRootStaticHandler
from bokeh.server.views.static_handler import StaticHandler
from panel.io.server import DocHandler, WSHandler

from deeptracker.app.card import POLICY, card
from deeptracker.app.login import LoginPage, LogoutPage
from deeptracker.app.names import Names
from deeptracker.app.visitors import FullError

PAGE = "; ".join(
    [
        "default-src 'none'",
        "script-src 'nonce-{nonce}' 'unsafe-eval' blob:",  # Bokeh's CustomJS; Panel imports components as blobs
        "style-src 'self' 'unsafe-inline'",  # style attributes and sheets that Bokeh makes as it draws
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' ws://{host} wss://{host} blob:",  # Safari's 'self' is no websocket; components as above
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    ]
)
"""Content-Security-Policy of a page: a script runs only where this server wrote it, never from a name or a text."""
LONGEST = 1 << 20
"""Bytes of a request or a message: pages send gestures and notes, never data."""
FRAGMENTS = 64
"""Of a message, at most: three, and two for each buffer."""
SOCKETS = 4
"""Of a page: one, and those whose end was not noticed yet."""
_IDS = ("bokeh-session-id", "bokeh-token")
_OURS = Path(__file__).parents[1]


class Page(DocHandler):
    """A page. Its HTML holds nothing of a run but the title, escaped: all its scripts are ours and get the nonce."""

    async def get(self, *args: Any, **options: Any) -> None:
        """Make a session and answer with its page."""
        for name in _IDS:  # nobody joins the session of another, or is led into one that somebody prepared
            self.request.arguments.pop(name, None)
        self.request.headers.pop("Bokeh-Session-Id", None)
        try:
            waiting = super().get(*args, **options)
            if waiting is not None:  # else a stranger was sent to the login
                await waiting
        except FullError as full:
            self.set_status(503)
            self.set_header("Retry-After", "20")
            self.set_header("Content-Security-Policy", POLICY)
            self.finish(card(f'<p>{escape(str(full))}</p><a href="">Try again</a>'))

    def write(self, chunk: Any) -> None:
        """Write the page."""
        if isinstance(chunk, str) and self.get_status() == 200:
            nonce = secrets.token_urlsafe(16)
            chunk = re.sub(r"<script\b", f'<script nonce="{nonce}"', chunk)
            self.set_header("Content-Security-Policy", PAGE.format(nonce=nonce, host=self.request.host))
        super().write(chunk)


class Socket(WSHandler):
    """The websocket of a page; it ends with the first message that no page sends, of which the log gets no letter."""

    receiver: Any
    _fragments = _bytes = 0
    _over = False

    def check_origin(self, origin: str) -> bool:
        """The same rule as for every request: Bokeh's own can be switched off by a variable of the environment."""
        names: Names = self.application.settings["names"]
        return names.trust(origin, self.request.headers.get("Host", ""))

    def open(self, *args: Any, **options: Any) -> Any:
        """Begin; whoever brings no valid token is left without a word."""
        try:
            return super().open(*args, **options)
        except (ProtocolError, ValueError):
            return self.close()

    async def _receive(self, fragment: str | bytes) -> Any:
        if self._over:
            return None
        self._fragments, self._bytes = self._fragments + 1, self._bytes + len(fragment)
        if self._fragments > FRAGMENTS or self._bytes > LONGEST:  # Tornado's limit is one of a fragment
            return self._end("a message without end")
        try:
            message = await self.receiver.consume(fragment)
        except Exception:
            return self._end("no message of a page")
        if message is not None:
            self._fragments = self._bytes = 0
        return message

    async def _handle(self, message: Any) -> Any:
        """Bokeh would write all of a message that fails into the log, up to a megabyte of a stranger's text.

        Where a callback of ours fails the page stays, and the log says by which way it came there.
        """
        try:
            return await self.handler._handlers[message.msgtype](message, self.connection)
        except Exception as error:
            way, what = extract_tb(error.__traceback__)[1:], type(error).__name__
            ours = [one for one in way if Path(one.filename).is_relative_to(_OURS)]
            if not ours:
                return self._end(what)
            places = " < ".join(f"{one.filename}:{one.lineno} {one.name}" for one in [way[-1], *reversed(ours)])
            logging.getLogger(__name__).error("a callback failed: %s at %s", what, places)
            return self.connection.error(message, what)

    def _end(self, why: str) -> None:
        self._over, self.receiver = True, None
        self._protocol_error(why)

    async def _async_open(self, token: str) -> None:
        try:
            await super()._async_open(token)
        except (ProtocolError, FullError, RuntimeError):
            self.close(1013)
        if self.connection is not None and self.connection.session.connection_count > SOCKETS:
            self.close(1013)


_OPEN = {
    DocHandler: Page,
    WSHandler: Socket,
    IcoHandler: IcoHandler,
    StaticHandler: StaticHandler,
    MultiRootStaticHandler: MultiRootStaticHandler,
    LoginPage: LoginPage,
    LogoutPage: LogoutPage,
}


def narrow(tornado: Any) -> None:
    """Leave only what pages need.

    Away go Bokeh's ``autoload.js`` (a session for scripts of any site), ``metadata`` and the index, and Panel's
    ``components`` (imports whatever module a request names).
    """
    rules = tornado.wildcard_router.rules
    rules[:] = [rule for rule in rules if rule.target in _OPEN]
    for rule in rules:
        rule.target = rule.handler_class = _OPEN[rule.target]


__all__ = ["LONGEST", "PAGE", "narrow"]
