"""The password: asked for once a browser, compared in constant time, and not to be guessed by trying."""

from __future__ import annotations

import hmac
import time
from typing import Any
from urllib.parse import quote

from bokeh.server.auth_provider import AuthProvider
from tornado.web import RequestHandler

from deeptracker.app.card import POLICY, card

DAYS = 7.0
"""After which a browser is asked again."""
FREE, SLOWEST = 5, 30.0
"""Wrong passwords in a row that cost nothing; seconds between further ones, at most."""
_FORM = """<form method="post" action="login">
<label for="password">Password of this server</label>
<input id="password" name="password" type="password" autocomplete="current-password" autofocus required>
<button>Enter</button></form>
"""


class Password:
    """A password, and how often it was guessed wrongly of late.

    The wait is one for all visitors: whoever guesses from many addresses is as slow as from one. Whoever knows the
    password may have to wait meanwhile; who is inside already notices nothing.
    """

    def __init__(self, password: str) -> None:
        self._password, self._wrong, self._next = password.encode(), 0, 0.0

    def waits(self) -> float:
        """Seconds until the next attempt is heard."""
        return max(0.0, self._next - time.monotonic())

    def fits(self, attempt: str) -> bool:
        """Whether an attempt is right; wrong ones make the next one wait, twice as long each time."""
        if hmac.compare_digest(attempt.encode(), self._password):
            self._wrong = 0
            return True
        self._wrong += 1
        if self._wrong >= FREE:
            self._next = time.monotonic() + min(SLOWEST, 2.0 ** min(self._wrong - FREE, 10))
        return False


class _Asking(RequestHandler):
    def compute_etag(self) -> None:
        return None

    def say(self, text: str = "", status: int = 200) -> None:
        """The form, with a sentence of ours under it."""
        self.set_status(status)
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Referrer-Policy", "same-origin")  # else browsers send the form without an origin
        self.write(card(_FORM + (f'<p class="wrong" role="alert">{text}</p>' if text else "")))


class LoginPage(_Asking):
    """Asks for the password."""

    def get(self) -> None:
        """The form; the page that was asked for is remembered, if it is one of ours."""
        if to := _own(self.get_argument("next", "")):
            self.set_cookie(f"{cookie(self)}-next", quote(to, safe=""), httponly=True, samesite="Lax", max_age=600)
        self.say()

    def post(self) -> None:
        """An attempt."""
        password: Password = self.application.settings["password"]
        if password.waits():
            self.set_header("Retry-After", str(int(password.waits()) + 1))
            self.say(f"Too many wrong passwords: try again in {int(password.waits()) + 1} seconds.", 429)
        elif not password.fits(self.get_body_argument("password", "")[:1000]):
            self.say("That is not the password.", 403)
        else:
            self.set_signed_cookie(
                cookie(self), "in", expires_days=DAYS, httponly=True, samesite="Lax",
                secure=self.request.headers.get("Origin", "").startswith("https:"),
            )  # fmt: skip
            self.redirect(_own(_unquoted(self.get_cookie(f"{cookie(self)}-next"))) or "./", status=303)


class LogoutPage(_Asking):
    """Forgets the browser."""

    def get(self) -> None:
        """Take the cookie back."""
        self.clear_cookie(cookie(self))
        self.say("You are out. The password lets you in again.")


class Asks(AuthProvider):
    """Lets in whoever bears the cookie."""

    @property
    def get_user(self) -> Any:
        """The user of a request, None for strangers."""
        return lambda handler: (handler.get_signed_cookie(cookie(handler), max_age_days=DAYS) or b"").decode() or None

    @property
    def login_url(self) -> str:
        """Where the password is asked for."""
        return "/login"

    @property
    def login_handler(self) -> type[RequestHandler]:
        """What asks."""
        return LoginPage

    @property
    def logout_url(self) -> str:
        """Where a browser is forgotten."""
        return "/logout"

    @property
    def logout_handler(self) -> type[RequestHandler]:
        """What forgets."""
        return LogoutPage


def cookie(handler: RequestHandler) -> str:
    """Its name: cookies know no ports, and another server of this machine would write over it."""
    return f"deeptracker-{handler.application.settings['port']}"


def _own(to: str) -> str:
    """A place of this server that an address leads to; empty where it leads anywhere else."""
    pages, _, query = to.partition("?")
    place = pages.rstrip("/").rpartition("/")[2]
    if place not in ("", "live", "compare") or not query.isprintable() or "\\" in to:
        return ""
    return f"./{place}?{query}" if query else f"./{place}"


def _unquoted(text: str | None) -> str:
    from urllib.parse import unquote

    return unquote(text or "")


__all__ = ["Asks", "LoginPage", "LogoutPage", "Password", "cookie"]
