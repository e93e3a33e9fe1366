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
    assert 100 in list(visit.model("lines", "data")["x"])
    assert visit.errors == []


def test_keys__step_through_events_zoom_and_turn_the_lights_off(visit: Any, served: Any, analysed: Run) -> None:
    visit.open(served(analysed.path).address)
    page, whole = visit.page, visit.model("iterations", "start")
    page.keyboard.press("j")
    page.wait_for_url("**event=1**")
    page.keyboard.press("j")
    page.wait_for_url("**event=2**")
    page.keyboard.press("k")
    page.wait_for_url("**event=1**")
    page.keyboard.press("Escape")
    visit.until(START, whole)
    page.keyboard.press("+")
    visit.until("old => Bokeh.documents[0].get_model_by_name('iterations').start > old", whole)
    page.wait_for_url("**start=**")
    page.keyboard.press("0")
    visit.until(START, whole)
    page.keyboard.press("?")
    assert "next and previous event" in page.locator("#dt-keys").inner_text()
    page.keyboard.press("?")
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.classList.contains('dt-dark')")
    hint = page.get_by_text("Pale is usual")
    assert hint.is_visible()
    page.get_by_role("button", name="got it").first.click()
    page.reload()
    visit.settle()
    assert not page.get_by_text("Pale is usual").is_visible()
    assert page.evaluate("document.documentElement.classList.contains('dt-dark')")
    page.locator("input[data-key=only]").fill("jd0")
    assert page.evaluate("document.documentElement.classList.contains('dt-dark')")
    assert visit.errors == []


def test_copy__puts_the_expression_on_the_clipboard(visit: Any, served: Any, analysed: Run) -> None:
    server = served(analysed.path)
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.address.rstrip("/"))
    visit.open(server.address)
    button = visit.page.get_by_role("button", name="copy xarray").nth(1)
    expression = button.get_attribute("data-copy")
    button.click()
    text = visit.page.evaluate("navigator.clipboard.readText()")
    assert text == expression
    assert eval(text, {"run": analysed}).size > 0
