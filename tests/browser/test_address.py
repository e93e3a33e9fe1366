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
    link = visit.page.url
    opened = float(link.split("start=")[1].split("&")[0])
    visit.until(START, opened)
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


def test_axis__counts_in_time_and_pins_stand_in_every_figure(visit: Any, served: Any, analysed: Run) -> None:
    server = served(analysed.path)
    visit.open(f"{server.address}?pins=100")
    visit.page.locator("select[data-key=axis]").select_option("time")
    visit.page.wait_for_url("**axis=time**")
    visit.settle()
    labels = visit.page.evaluate(
        """() => Array.from(Bokeh.index.all_views())
             .filter(v => v.model.type == 'LinearAxis' && v.model.ticker.type == 'CustomJSTicker' && v.model.visible)
             .map(v => v.compute_labels(v.tick_coords.major[0]).items.map(item => item.text))"""
    )
    assert len(labels) >= 4
    assert all(label.count(":") == 2 for axis in labels for label in axis)
    assert max(len(axis) for axis in labels) >= 3
    assert list(visit.model("pins", "data")["x"]) == [100]
    assert visit.errors == []
