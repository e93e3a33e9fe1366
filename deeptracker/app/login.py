"""The password: asked for once a browser, compared in constant time, and not to be guessed by trying."""

from __future__ import annotations

import hmac
import math
import secrets
import time
from collections import deque
from typing import Any
from urllib.parse import quote, unquote

from bokeh.server.auth_provider import AuthProvider
from tornado.web import RequestHandler

from deeptracker.app.card import POLICY, card
from deeptracker.app.names import network

DAYS = 7.0
"""After which a browser is asked again."""
FREE, SLOWEST = 5, 30.0
"""Wrong passwords of an address that cost nothing; seconds between further ones, at most."""
ADDRESSES, AT_ONCE = 1_000, 20
"""Of which is known how often they were wrong; wrong ones in a second, of all together, that nobody waits for."""
_FORM = """<form method="post" action="login">
<label for="password">Password of this server</label>
<input id="password" name="password" type="password" autocomplete="current-password" autofocus required>
<button>Enter</button></form>
"""


class Password:
    """A password, and how often each address guessed it wrongly of late.

    Each address waits by itself, a network of IPv6 (/64) as one: nobody keeps others out by guessing. All who come
    through one proxy or tunnel have its address, and wait together. Whoever has thousands of addresses makes some
    twenty guesses a second, two million a day, and everybody else may have to send the password again after a second:
    a password of three or four words withstands that. Who is inside already notices nothing.
    """

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._wrong: dict[str, tuple[int, float]] = {}  # how often, and when the next is heard; stalest first
        self._recent: deque[float] = deque([-math.inf] * AT_ONCE, AT_ONCE)
        self._next = 0.0

    def waits(self, address: str) -> float:
        """Seconds until the next attempt of an address is heard."""
        _, then = self._wrong.get(network(address), (0, 0.0))
        return max(0.0, then - time.monotonic(), self._next - time.monotonic())

    def fits(self, attempt: str, address: str) -> bool:
        """Whether an attempt is right; wrong ones make the next one wait, twice as long each time."""
        whose, now = network(address), time.monotonic()
        wrong, _ = self._wrong.pop(whose, (0, 0.0))
        if hmac.compare_digest(attempt.encode(), self._password):
            return True
        wrong += 1
        pause = min(SLOWEST, 2.0 ** min(wrong - FREE, 10)) if wrong >= FREE else 0.0
        self._wrong[whose] = wrong, now + pause
        if len(self._wrong) > ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        self._recent.append(now)
        if now - self._recent[0] < 1.0:
            self._next = now + 1.0
        return False


class Browsers:
    """The browsers that are inside: what their cookies say means nothing once they are out, wherever it is kept."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def admit(self) -> str:
        """What the cookie of another one says."""
        now = time.time()
        self._until = {name: until for name, until in self._until.items() if until > now}
        name = secrets.token_urlsafe(16)
        self._until[name] = now + DAYS * 86_400
        return name

    def know(self, name: str) -> bool:
        """Whether one is inside."""
        return self._until.get(name, 0.0) > time.time()

    def forget(self, name: str) -> None:
        """One is out."""
        self._until.pop(name, None)


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
        address = self.request.remote_ip or ""
        if waits := password.waits(address):
            self.set_header("Retry-After", str(int(waits) + 1))
            self.say(f"Too many wrong passwords: try again in {int(waits) + 1} seconds.", 429)
        elif not password.fits(self.get_body_argument("password", "", strip=False), address):
            self.say("That is not the password.", 403)
        else:
            self.set_signed_cookie(
                cookie(self), _browsers(self).admit(), expires_days=DAYS, httponly=True, samesite="Lax",
                secure=self.request.headers.get("Origin", "").startswith("https:"),
            )  # fmt: skip
            self.redirect(_own(unquote(self.get_cookie(f"{cookie(self)}-next") or "")) or "./", status=303)


class LogoutPage(_Asking):
    """Forgets the browser."""

    def get(self) -> None:
        """Take the cookie back, and what it says; not for a page of another site that led here."""
        if self.request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            self.say('Another site led here. You are inside still: <a href="logout">leave</a>.', 403)
            return
        _browsers(self).forget(_name(self))
        self.clear_cookie(cookie(self))
        self.say("You are out. The password lets you in again.")


class Asks(AuthProvider):
    """Lets in whoever bears the cookie."""

    @property
    def get_user(self) -> Any:
        """The user of a request, None for strangers."""
        return lambda handler: "in" if _browsers(handler).know(_name(handler)) else None

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


def _browsers(handler: RequestHandler) -> Browsers:
    found: Browsers = handler.application.settings["browsers"]
    return found


def _name(handler: RequestHandler) -> str:
    return (handler.get_signed_cookie(cookie(handler), max_age_days=DAYS) or b"").decode()


__all__ = ["Asks", "Browsers", "LoginPage", "LogoutPage", "Password", "cookie"]
