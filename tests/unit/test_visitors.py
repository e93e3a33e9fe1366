"""Room: so many sessions and so much memory, whoever asks and in whichever way."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from serving import ask, awaited, connected, running, token
from tornado.websocket import WebSocketClosedError

from deeptracker.app.routes import Socket
from deeptracker.app.visitors import Visitors, memory_now
from deeptracker.errors import InputError
from deeptracker.store import Run
from deeptracker.view.pattern import pattern


def first(port: int, name: str) -> Any:
    """The first message for a token; None where the socket is closed instead."""

    async def read() -> Any:
        async with connected(port, name) as socket:
            return await asyncio.wait_for(socket.read_message(), 20)

    message = awaited(read())
    return message and json.loads(message)["msgtype"]


def document(port: int) -> str:
    """What a browser gets to show."""

    async def pull() -> str:
        async with connected(port, token(ask(port)[2])) as socket:
            for _ in range(3):
                await socket.read_message()
            for part in ({"msgid": "1", "msgtype": "PULL-DOC-REQ"}, {}, {}):
                await socket.write_message(json.dumps(part))
            return "".join([str(await socket.read_message()) for _ in range(3)])

    return awaited(pull())


def test_visitors__beyond_the_limit_read_why(analysed: Run) -> None:
    with running(analysed.path, max_sessions=2) as port:
        inside = token(ask(port)[2])
        assert ask(port, "/live")[0] == 200
        status, headers, text = ask(port, "/compare")
        assert status == 503
        assert headers["retry-after"]
        assert "All 2 places" in text
        assert "--max-sessions" in text
        assert headers["content-type"].startswith("text/html")
        assert "script" not in text
        assert "script-src" not in headers["content-security-policy"]
        assert ask(port, "/static/js/bokeh.min.js")[0] == 200

        assert first(port, inside) == "ACK"  # who is inside stays served


def test_visitors__a_place_that_is_left_is_given_again(analysed: Run) -> None:
    with running(analysed.path, max_sessions=1) as port:
        old = token(ask(port)[2])
        assert ask(port)[0] == 503
        until = time.monotonic() + 40
        while ask(port)[0] == 503:
            assert time.monotonic() < until, "the place of a session without a connection is never free"
            time.sleep(0.5)

        assert first(port, old) is None  # a kept token makes no session where there is no room


def test_visitors__above_the_limit_of_memory_nobody_else_is_let_in(analysed: Run) -> None:
    with running(analysed.path, max_memory=memory_now() // 2) as port:
        status, _, text = ask(port)
        assert status == 503
        assert "--max-memory" in text


@pytest.mark.parametrize(
    "options", [{"sessions": 0}, *({"memory": size} for size in ("much", "-1GB", "0", 0, -1, "1e-10GB", "1e400GB"))]
)
def test_visitors__a_limit_that_is_none_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="max_"):
        Visitors(**options)


def test_socket__whose_token_is_forged_or_cut_makes_no_session(analysed: Run) -> None:
    with running(analysed.path, max_sessions=2) as port:
        real = token(ask(port)[2])

        for name in (real[:-4] + "AAAA", real.split(".")[0], "x", "e30", "." * 30):
            assert first(port, name) is None, name
        assert first(port, real) == "ACK"


@pytest.mark.parametrize("part", ["", "{", "[]", '{"msgid":1}', "\x00" * 100, "[" * 50_000, "x" * (3 << 20)])
def test_socket__nonsense_ends_that_visit_and_no_other(analysed: Run, part: str) -> None:
    with running(analysed.path) as port:
        other, mine = token(ask(port)[2]), token(ask(port)[2])

        async def visit() -> None:
            async with connected(port, other) as good, connected(port, mine) as bad:
                assert json.loads(await bad.read_message())["msgtype"] == "ACK"
                for _ in range(2):
                    await bad.read_message()
                for _ in range(4):
                    try:
                        await bad.write_message(part)
                    except WebSocketClosedError:
                        break
                assert await asyncio.wait_for(bad.read_message(), 20) is None
                assert json.loads(await good.read_message())["msgtype"] == "ACK"

        awaited(visit())
        assert ask(port)[0] == 200


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ({"msgtype": "PATCH-DOC", "num_buffers": 10**9}, [b"x" * 400_000] * 3),
        ({"msgtype": "PATCH-DOC", "num_buffers": 10**9}, [b""] * 40),
        ({"msgtype": "PATCH-DOC", "num_buffers": 0.5}, [b""] * 40),
        ({"msgtype": "PATCH-DOC"}, [{"events": [{"kind": "Z" * 900_000}]}]),
        ({"msgtype": "PATCH-DOC"}, [{"Z" * 900_000: 1}]),
        ({"msgtype": "ACK"}, [{"Z" * 900_000: 1}]),
        ({"msgtype": "Z" * 900_000}, [{}]),
    ],
)
def test_socket__a_message_that_no_page_sends_ends_it_and_fills_neither_memory_nor_log(
    analysed: Run, header: dict[str, Any], parts: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with running(analysed.path) as port:

        async def visit() -> None:
            async with connected(port, token(ask(port)[2])) as socket:
                for _ in range(3):
                    await socket.read_message()
                await socket.write_message(json.dumps({"msgid": "1", **header}))
                await socket.write_message("{}")
                if isinstance(parts[0], bytes):
                    await socket.write_message('{"events": []}')
                with suppress(WebSocketClosedError):
                    for part in parts:
                        if isinstance(part, bytes):
                            await socket.write_message('{"id": "1"}')
                            await socket.write_message(part, binary=True)
                        else:
                            await socket.write_message(json.dumps(part))
                assert await asyncio.wait_for(socket.read_message(), 10) is None

        awaited(visit())
        assert ask(port)[0] == 200
    assert "ZZZ" not in caplog.text
    assert len(caplog.text) < 3000


def test_socket__a_callback_of_ours_that_fails_is_told_by_its_place_and_the_page_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def called(*_: Any) -> None:
        pattern("(ZZZ")

    socket = Socket.__new__(Socket)
    socket.handler = SimpleNamespace(_handlers={"PATCH-DOC": called})
    socket.connection = SimpleNamespace(error=lambda message, text: text)
    assert awaited(socket._handle(SimpleNamespace(msgtype="PATCH-DOC"))) == "InputError"
    assert "pattern.py" in caplog.text
    assert "ZZZ" not in caplog.text


def test_server__a_run_that_is_gone_is_said_without_a_traceback(analysed: Run, tmp_path: Path) -> None:
    path = tmp_path / "gone"
    shutil.copytree(str(analysed.path), path)
    with running(path, itself=True) as port:
        assert "does not exist" not in document(port)
        shutil.rmtree(path)
        said = document(port)
        assert "Traceback" not in said
        assert "does not exist" in said, said
