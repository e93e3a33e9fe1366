"""The password: who enters, who waits, and who is out again."""

from __future__ import annotations

import base64

import pytest
from serving import HANDSHAKE, ask, running, token

from deeptracker.app import login
from deeptracker.app.login import Browsers, Password
from deeptracker.store import Run


def test_password__lets_in_by_a_cookie_that_scripts_and_other_sites_never_see(analysed: Run) -> None:
    with running(analysed.path, password="s3cret ü") as port:
        own = {"Origin": f"http://127.0.0.1:{port}"}
        assert ask(port, "/login", own, "POST", "password=wrong")[0] == 403
        status, headers, _ = ask(port, "/login", own, "POST", "password=s3cret+%C3%BC")
        assert status == 303
        assert headers["location"] == "./"
        cookie = headers["set-cookie"]
        assert cookie.startswith(f"deeptracker-{port}=")
        assert {"httponly", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}
        inside = {"Cookie": cookie.split(";")[0]}
        status, _, text = ask(port, "/", inside)
        assert status == 200
        payload = token(text).split(".")[0]
        assert b"deeptracker-" not in base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        assert ask(port, "/", {"Cookie": inside["Cookie"][:-3] + "abc"})[0] == 302
        assert ask(port, "/logout", inside)[1]["set-cookie"].startswith(f'deeptracker-{port}=""')
        assert (
            "secure"
            in ask(port, "/login", {"Origin": f"https://127.0.0.1:{port}"}, "POST", "password=s3cret+%C3%BC")[1][
                "set-cookie"
            ].lower()
        )


@pytest.mark.parametrize("place", ["/", "/live", "/compare", "/ws"])
def test_password__without_it_nothing_is_told(analysed: Run, place: str) -> None:
    with running(analysed.path, password="secret") as port:
        status, _, text = ask(port, place)
        assert status in (302, 403)
        assert "token" not in text


def test_login__asks_nobody_else_for_anything_and_leads_nowhere_else(analysed: Run) -> None:
    with running(analysed.path, password="secret") as port:
        _, headers, text = ask(port, "/login?error=%3Cscript%3E&next=https://evil.example/")
        assert "http" not in text
        assert "<script" not in text
        assert "set-cookie" not in headers
        own = {"Origin": f"http://127.0.0.1:{port}"}
        for to in (
            "//evil.example",
            "https:evil.example/live",
            "\\\\evil.example",
            "/live%0d%0aX: y",
            "javascript:1",
        ):
            cookie = {"Cookie": f"deeptracker-{port}-next={to}"}
            assert ask(port, "/login", {**own, **cookie}, "POST", "password=secret")[1]["location"] in (
                "./",
                "./live",
            )
        cookie = {"Cookie": f"deeptracker-{port}-next=%2Flive%3Frun%3Da"}
        assert ask(port, "/login", {**own, **cookie}, "POST", "password=secret")[1]["location"] == "./live?run=a"
        assert ask(port, "/login", {"Origin": "http://evil.example"}, "POST", "password=secret")[0] == 403


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in a list of one."""
    clock = [100.0]
    monkeypatch.setattr(login.time, "monotonic", lambda: clock[0])
    return clock


def test_password__is_not_to_be_guessed(now: list[float]) -> None:
    password, heard = Password("secret"), 0
    for _ in range(24 * 3600):
        now[0] += 1.0
        if not password.waits("192.0.2.1"):
            assert not password.fits("guess", "192.0.2.1")
            heard += 1
    assert heard < 3000  # a day of trying at every second
    now[0] += 60
    assert not password.waits("192.0.2.1")
    assert password.fits("secret", "192.0.2.1")


def test_password__whoever_guesses_wrongly_keeps_nobody_else_out(now: list[float]) -> None:
    password = Password("secret")
    for _ in range(10):
        now[0] += 0.5
        password.fits("guess", "2001:db8::1")
    assert password.waits("2001:db8::1") > 5
    assert password.waits("2001:db8::2:0:0:1") > 5  # the same network
    assert not password.waits("2001:db8:0:1::1")
    assert not password.waits("192.0.2.1")
    assert not password.waits("::ffff:192.0.2.1")
    for _ in range(6):
        now[0] += 0.5
        password.fits("guess", "::ffff:192.0.2.1")
    assert password.waits("192.0.2.1") > 1
    assert not password.waits("::ffff:192.0.2.2")


def test_password__of_many_addresses_all_are_slowed_and_none_is_kept_for_ever(now: list[float]) -> None:
    password, heard = Password("secret"), 0
    for number in range(100_000):
        now[0] += 0.001
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        if not password.waits(address):
            password.fits("guess", address)
            heard += 1
    assert heard < 2100  # in a hundred seconds
    assert len(password._wrong) <= login.ADDRESSES
    now[0] += 1.0
    assert not password.waits("192.0.2.1")


@pytest.mark.parametrize("password", [" secret ", "s" * 1500])
def test_password__is_taken_letter_by_letter(analysed: Run, password: str) -> None:
    with running(analysed.path, password=password) as port:
        own = {"Origin": f"http://127.0.0.1:{port}"}
        assert ask(port, "/login", own, "POST", f"password={password.strip()[:1000]}")[0] == 403
        assert ask(port, "/login", own, "POST", f"password={password.replace(' ', '+')}")[0] == 303


def test_logout__whoever_kept_the_cookie_is_a_stranger(analysed: Run) -> None:
    with running(analysed.path, password="secret") as port:
        own = {"Origin": f"http://127.0.0.1:{port}"}
        mine, other = (
            {"Cookie": ask(port, "/login", own, "POST", "password=secret")[1]["set-cookie"].split(";")[0]}
            for _ in range(2)
        )
        assert ask(port, "/", mine)[0] == 200
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        for site in ("cross-site", "same-site"):
            status, headers, text = ask(port, "/logout", {**mine, **link, "Sec-Fetch-Site": site})
            assert status == 403
            assert "set-cookie" not in headers
            assert 'href="logout"' in text
        assert ask(port, "/", mine)[0] == 200  # another site logs nobody out

        assert ask(port, "/logout", {**mine, **link, "Sec-Fetch-Site": "same-origin"})[0] == 200
        assert ask(port, "/", mine)[0] == 302
        assert ask(port, "/ws", {**HANDSHAKE, **own, **mine})[0] == 403
        assert ask(port, "/", other)[0] == 200


def test_browsers__are_forgotten_when_their_week_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    browsers, day = Browsers(), [1_000.0]
    monkeypatch.setattr(login.time, "time", lambda: day[0])
    first = browsers.admit()
    assert browsers.know(first)
    day[0] += login.DAYS * 86_400
    assert not browsers.know(first)
    browsers.admit()
    assert len(browsers._until) == 1
    assert not browsers.know("")
