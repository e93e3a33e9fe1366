"""The band with a mouse: a drag chooses iterations, a click holds one, whatever is selected."""

from __future__ import annotations

from typing import Any

import pytest

from deeptracker.store import Run

pytestmark = pytest.mark.browser

CURVES = """() => {
  const view = Array.from(Bokeh.index.all_views()).find(
    v => v.model.type == 'Figure' && String(v.model.left[0]?.axis_label) == 'training loss')
  const box = view.el.getBoundingClientRect(), frame = view.frame.bbox
  return [box.left + frame.left, box.top + frame.top, frame.width, frame.height]
}"""


def test_band__a_drag_chooses_iterations_and_a_click_holds_one(visit: Any, served: Any, analysed: Run) -> None:
    server = served(analysed.path)
    visit.open(server.address)
    whole = [visit.model("iterations", edge) for edge in ("start", "end")]
    left, top, wide, high = visit.page.evaluate(CURVES)
    for first, last in ((0.25, 0.5), (0.4, 0.3)):  # the second one from within the first
        visit.page.mouse.move(left + first * wide, top + high / 2)
        visit.page.mouse.down()
        visit.page.mouse.move(left + last * wide, top + high / 2, steps=5)
        visit.page.mouse.up()
        ends = [whole[0] + share * (whole[1] - whole[0]) for share in sorted((first, last))]
        near = "([a, b]) => Bokeh.documents.some(d => { const r = d.get_model_by_name('iterations')"
        near += "; return r && Math.abs(r.start - a) < 2 && Math.abs(r.end - b) < 2 })"
        visit.until(near, ends)
        visit.page.wait_for_url("**start=**")
        visit.settle()
    visit.page.mouse.click(left + 0.75 * wide, top + high / 2)
    visit.page.wait_for_url("**pins=**")
    pin = float(visit.page.url.split("pins=")[1].split("&")[0])
    assert abs(pin - whole[0] - 0.75 * (whole[1] - whole[0])) < 3
    visit.page.keyboard.press("Escape")
    visit.until("start => Bokeh.documents.some(d => d.get_model_by_name('iterations')?.start == start)", whole[0])
    assert visit.errors == []
    assert "Traceback" not in server.stop()
