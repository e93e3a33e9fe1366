"""A link reproduces the screen; back and forward work; chips show what is selected and take it away."""

from __future__ import annotations

from typing import Any

import pytest

from deeptracker.store import Run

pytestmark = pytest.mark.browser

START = "start => Bokeh.documents.some(d => d.get_model_by_name('iterations')?.start == start)"


def test_address__back_and_forward_move_the_views(visit: Any, served: Any, analysed: Run) -> None:
    server = served(analysed.path)
    visit.open(server.address)
    whole = visit.model("iterations", "start")
    visit.page.locator(".card").first.locator("button").click()
    visit.page.wait_for_url("**event=1**")
    visit.settle()
    opened, link = visit.model("iterations", "start"), visit.page.url
    assert "layers=layer2.0.conv1" in link
    visit.page.go_back()
    visit.until(START, whole)
    visit.page.go_forward()
    visit.until(START, opened)
    assert visit.page.url == link
    visit.page.get_by_role("button", name="remove event").click()
    visit.page.wait_for_function("() => !location.search.includes('event=')")
    visit.page.get_by_role("button", name="clear").click()
    visit.until(START, whole)
    visit.page.wait_for_function("() => location.search == ''")
    visit.open(link)
    visit.until(START, opened)
    assert visit.page.locator(".card.open .rank").inner_text() == "1"
    assert visit.errors == []
    assert "Traceback" not in server.stop()


def test_address__what_the_run_does_not_have_is_said(visit: Any, served: Any, analysed: Run) -> None:
    server = served(analysed.path)
    visit.open(f"{server.address}?layers=%3Cimg+src%3Dx%3E&event=99999999999999999999999&start=oops")
    said = visit.page.locator(".said").inner_text()
    assert said.startswith("Not in this run, left out: ")
    assert "layers=<img src=x>" in said
    assert visit.errors == []
    assert "Traceback" not in server.stop()
