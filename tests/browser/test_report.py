"""The report in a real browser, from disk: no request leaves it, its figures are drawn, its events move them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deeptracker.export import report
from deeptracker.store import Run

pytestmark = pytest.mark.browser

INKED = """() =>
  Array.from(Bokeh.index.all_views()).filter(v => v.model.type == 'Figure' && v.frame.bbox.width > 1).map(view => {
    const canvas = view.canvas_view.primary.canvas, frame = view.frame.bbox
    const box = [frame.left, frame.top, frame.width, frame.height].map(v => Math.round(v * devicePixelRatio))
    const data = canvas.getContext('2d').getImageData(...box).data
    let ink = 0
    for (let i = 0; i < data.length; i += 4) if (data[i] < 250 || data[i+1] < 250 || data[i+2] < 250) ink++
    return ink
  })"""


def test_report__opens_from_disk_without_a_single_request(visit: Any, analysed: Run, tmp_path: Path) -> None:
    path = report(analysed, tmp_path / "report.html")
    visit.open(path.as_uri())
    assert visit.errors == []
    assert visit.external() == []
    ink = visit.page.evaluate(INKED)
    assert len(ink) >= 10
    assert min(ink) > 20, ink
    assert visit.page.locator(".card").count() == 2


def test_report__an_event_moves_the_views_and_opens_its_layer(visit: Any, analysed: Run, tmp_path: Path) -> None:
    visit.open(report(analysed, tmp_path / "report.html").as_uri())
    visit.page.locator(".card button").nth(1).click()
    visit.settle()
    assert visit.model("selection", "data")["x0"][0] == 120
    assert [visit.model(f"layer-{i}", "visible") for i in (0, 1)] == [False, True]
    visit.page.locator(".card button").nth(0).click()
    visit.settle()
    assert [visit.model(f"layer-{i}", "visible") for i in (0, 1)] == [True, False]
    assert 100 < visit.model("iterations", "start") < 200
    assert visit.errors == []
    assert visit.external() == []
