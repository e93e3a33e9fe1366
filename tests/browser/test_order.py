"""What a session hears and says stays in order: one callback at a time, and messages as things were changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.browser

PAGE = """
import panel as pn
import param
from bokeh.layouts import column
from bokeh.models import Div
from panel.custom import JSComponent
from panel.io.server import get_server

from deeptracker.app.order import keep_order, together

keep_order()

class Button(JSComponent):
    pressed = param.Integer(0)
    _esm = '''
    export function render({ model }) {
      window.press = before => { if (before) model.pressed += 1; model.send_msg('pressed') }
    }'''

    def _handle_msg(self, data):
        self.act()

def page():
    button, part, box = Button(), column(Div(text="old"), name="part"), pn.Column()

    def act():
        with together(part.document):
            brought = Div(text="new")
            part.children = [brought]  # by Bokeh
            box[:] = [pn.pane.Bokeh(column(brought, name="second"))]  # by Panel; it holds what Bokeh brings

    button.act = act
    return pn.Column(button, pn.pane.Bokeh(part), box)

server = get_server({"/": page}, port=0, start=False, show=False, verbose=False)
print(f"http://localhost:{server.port}/", flush=True)
server.start()
server.io_loop.start()
"""
NEW = "() => Bokeh.documents.some(d => d.get_model_by_name('part').children[0].text == 'new')"


class Page:
    """The page in a process of its own, opened; what came over its socket."""

    def __init__(self, visit: Any, code: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.frames: list[str] = []
        visit.page.on("websocket", lambda socket: socket.on("framereceived", lambda f: self.frames.append(str(f))))
        visit.open(self.process.stdout.readline().strip())
        visit.until("() => Boolean(window.press)")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def opened(visit: Any) -> Iterator[Any]:
    pages: list[Page] = []

    def start(code: str) -> Page:
        pages.append(Page(visit, code))
        return pages[-1]

    yield start
    for page in pages:
        page.close()


def press(visit: Any, *, pending: bool) -> None:
    visit.page.evaluate("before => window.press(before)", pending)
    visit.until(NEW)
    visit.settle()
    assert visit.errors == []
    told = "Bokeh.documents.map(d => d.get_model_by_name('second')).find(m => m).children[0].text"
    assert visit.page.evaluate(told) == "new"


@pytest.mark.parametrize("pending", [False, True], ids=["alone", "with-another-change-pending"])
def test_order__a_callback_holds_the_document_and_names_only_models_that_came_before(
    visit: Any, opened: Any, pending: bool
) -> None:
    opened(PAGE.replace("with together(part.document):", "if True:"))
    press(visit, pending=pending)


def test_together__is_one_message(visit: Any, opened: Any) -> None:
    page = opened(PAGE)
    press(visit, pending=False)
    assert len([frame for frame in page.frames if "ModelChanged" in frame]) == 1
