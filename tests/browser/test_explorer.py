"""The explorer in a real browser: it opens on the ranked events, and one click moves every view."""

from __future__ import annotations

from typing import Any

import pytest

from deeptracker.store import Run

pytestmark = pytest.mark.browser

DRILLED = """layer => Bokeh.documents.some(d => Array.from(d._all_models.values()).some(
    m => m.type == 'Title' && String(m.text).startsWith(layer)))"""


def test_explorer__opens_on_the_ranked_events_and_a_click_moves_all_views(
    visit: Any, served: Any, analysed: Run
) -> None:
    server = served(analysed.path)
    visit.open(server.address)
    cards = visit.page.locator(".card")
    assert cards.count() == 2
    assert "Dead filters" in cards.first.inner_text()
    assert "iteration 200 – 240" in cards.first.inner_text()
    assert "the learning rate fell" in visit.page.locator(".label").inner_text()
    whole = [visit.model("iterations", end) for end in ("start", "end")]
    assert whole[0] < 0
    assert whole[1] > 319

    cards.first.locator("button").click()
    visit.until("() => Bokeh.documents.some(d => d.get_model_by_name('iterations')?.start > 100)")
    visit.settle()
    start, end = (visit.model("iterations", edge) for edge in ("start", "end"))
    assert whole[0] < start < 200
    assert 240 < end < whole[1]
    selection = visit.model("selection", "data")
    assert (list(selection["x0"]), list(selection["x1"])) == ([200], [240])
    shown = visit.page.evaluate(
        """range => Bokeh.documents.flatMap(d => Array.from(d._all_models.values()))
        .filter(m => m.type == 'Figure' && m.x_range.id == range).length""",
        visit.model("iterations", "id"),
    )
    assert shown >= 8  # stages, filters, their series, classes, one class, all images, two faces of the cube
    visit.until(DRILLED, "layer2.0.conv1 ·")
    visit.until(DRILLED, "class 2 ·")
    assert "4 < 5 filters fell silent" in cards.first.inner_text()
    assert "?event=1&" in visit.page.url
    cards.first.locator("button").click()
    visit.until("start => Bokeh.documents.some(d => d.get_model_by_name('iterations')?.start == start)", whole[0])
    assert visit.errors == []
    assert visit.external(server.host) == []
    assert "Traceback" not in server.stop()


def test_explorer__an_address_opens_its_event(visit: Any, served: Any, analysed: Run) -> None:
    server = served(analysed.path)
    visit.open(f"{server.address}?event=2")
    visit.until("() => Bokeh.documents.some(d => d.get_model_by_name('selection')?.data.x0[0] == 120)")
    assert visit.page.locator(".card.open .rank").inner_text() == "2"
    assert visit.errors == []


def test_explorer__a_click_on_a_strip_opens_its_filters(visit: Any, served: Any, analysed: Run) -> None:
    server = served(analysed.path)
    visit.open(server.address)
    place = visit.page.evaluate(
        """() => {
          for (const view of Bokeh.index.all_views()) {
            if (view.model.type != 'Figure' || !String(view.model.title.text).includes('layer1')) continue
            const box = view.el.getBoundingClientRect(), frame = view.frame.bbox
            return [box.left + frame.left + 40, box.top + frame.bottom - 6]
          }
        }"""
    )
    visit.page.mouse.click(*place)
    last = "layer1.0.conv2 ·"
    visit.until(DRILLED, last)
    assert visit.errors == []


def test_explorer__of_a_run_without_analysis_names_the_command(visit: Any, served: Any, recorded: Run) -> None:
    visit.open(served(recorded.path).address)
    assert f"deeptracker analyze {recorded.path}" in visit.page.locator(".empty").inner_text()
    assert visit.errors == []


def test_catalogue__lists_the_runs_of_a_folder_and_leads_to_them(visit: Any, served: Any, analysed: Run) -> None:
    visit.open(served(analysed.path.parent).address)
    link = visit.page.get_by_role("link", name="seen")
    assert link.get_attribute("href") == "?run=seen"
    link.click()
    visit.page.wait_for_url("**run=seen**")
    visit.settle()
    assert visit.page.locator(".card").count() == 2
    assert visit.errors == []


def test_explorer__a_section_is_made_when_somebody_goes_there(visit: Any, served: Any, analysed: Run) -> None:
    server = served(analysed.path)
    visit.open(server.address)
    there = """name => { for (const v of Bokeh.index.all_views())
        if (v.model.name == name) return v.child_views.length; return -1 }"""
    assert visit.page.evaluate(there, "section-architecture") == 0
    visit.page.locator('[data-go="section-architecture"]').first.click()
    visit.until(f"name => ({there})(name) > 0", "section-architecture")
    visit.settle()
    top = """name => { for (const v of Bokeh.index.all_views())
        if (v.model.name == name) return v.el.getBoundingClientRect().top }"""
    # In the window again, though sections above grew.
    visit.until(f"name => 0 < ({top})(name) && ({top})(name) < innerHeight", "section-architecture")
    assert visit.errors == []
    assert "Traceback" not in server.stop()
