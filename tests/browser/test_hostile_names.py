"""A run whose names are scripts: every page shows them as texts; and what no page ever does, the browser forbids."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hostile import BITES, MARK, hostile

from deeptracker.export import export
from deeptracker.store import Run
from deeptracker.view import notebook, overview

pytestmark = pytest.mark.browser

FIND = """mark => {
  const found = window[mark] === undefined ? [] : ['a script ran']
  const bad = node => node.classList.contains(mark) || node.matches('[onmouseover],[onerror],[onload]')
    || String(node.href ?? '').startsWith('javascript:') || node.tagName.startsWith('MJX')
    || (node.tagName == 'SCRIPT' && node.textContent.startsWith('window.' + mark))
  const walk = root => {
    for (const node of root.querySelectorAll('*')) {
      if (bad(node)) found.push(node.outerHTML.slice(0, 200))
      if (node.shadowRoot) walk(node.shadowRoot)
    }
  }
  walk(document)
  return found
}"""
"""Elements that a name became, in every shadow of the page."""
FRAMES = """() => [...Bokeh.index.all_views()].filter(v => v.model.type == 'Figure').map(v => {
  const box = v.el.getBoundingClientRect(), frame = v.frame.bbox
  return [box.left + frame.left + frame.width / 2, box.top + frame.top + 0.4 * frame.height]
}).filter(([x, y]) => y > 60 && y < 990)"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return hostile(tmp_path_factory.mktemp("hostile"))


def look(visit: Any, screens: int = 10) -> None:
    """Scroll through all of a page, with the mouse over each figure."""
    for _ in range(screens):
        for x, y in visit.page.evaluate(FRAMES)[:6]:
            visit.page.mouse.move(x, y)
            visit.page.wait_for_timeout(50)
        visit.page.evaluate("() => { document.querySelector('.dt-views')?.scrollBy(0, 700); scrollBy(0, 700) }")
        visit.page.wait_for_timeout(150)
    visit.settle()


def test_explorer__shows_hostile_names_as_texts(visit: Any, served: Any, run: Run) -> None:
    server = served(run.path)
    visit.open(server.address)
    assert visit.page.evaluate(FIND, MARK) == []
    visit.page.locator(".card button").nth(2).click()
    visit.page.wait_for_url("**event=3**")
    visit.settle()
    look(visit)
    assert visit.page.evaluate(FIND, MARK) == []
    assert visit.page.get_by_text(BITES[1]).count() > 0  # they are there to be read
    assert visit.errors == []  # a violation of the policy would be one
    assert visit.external(server.host) == []


@pytest.mark.parametrize("place", ["", "live", "compare"])
def test_folder__shows_hostile_names_as_texts(visit: Any, served: Any, run: Run, place: str, tmp_path: Path) -> None:
    own = tmp_path / run.path.name  # a live page analyses the run anew
    shutil.copytree(str(run.path), own)
    server = served(own if place == "live" else tmp_path)
    visit.open(server.address + place)
    look(visit, 3)
    assert visit.page.evaluate(FIND, MARK) == []
    assert visit.errors == []
    assert visit.external(server.host) == []


def test_files__show_hostile_names_as_texts(visit: Any, run: Run, tmp_path: Path) -> None:
    (tmp_path / "notebook.html").write_text(notebook.html(overview(run)))
    for name in ("report.html", "figure.svg", "notebook.html"):
        if name != "notebook.html":
            export(run, tmp_path / name)
        visit.address = (tmp_path / name).as_uri()
        visit.requests.clear()
        visit.page.goto(visit.address)
        visit.page.wait_for_timeout(3000)
        if name == "report.html":
            visit.settle()
            visit.page.locator(".card button").nth(2).click()
            look(visit)
        find = FIND.replace("walk(document)", "walk(document.documentElement)")
        for frame in visit.page.frames:
            assert [one for one in frame.evaluate(find, MARK) if "title=" not in one] == []
        assert visit.external() == []


def test_policy__stops_what_a_name_might_still_do(visit: Any, served: Any, analysed: Run) -> None:
    visit.open(served(analysed.path).address)
    tried = """mark => {
      const does = `window.${mark}=1`
      document.body.insertAdjacentHTML('beforeend', `<img src=x onerror="${does}"><svg onload="${does}">`)
      const script = document.createElement('script')
      script.textContent = `window.${mark}=1`
      document.body.append(script)
      const frame = document.createElement('iframe')
      frame.srcdoc = `<script>parent.${mark}=1</scr` + 'ipt>'
      document.body.append(frame)
      fetch('http://127.0.0.1:9/').catch(() => {})
      location.href = `javascript:window.${mark}=1`
    }"""
    visit.page.evaluate(tried, MARK)
    visit.page.wait_for_timeout(1000)
    assert visit.page.evaluate("mark => window[mark]", MARK) is None
    assert sum("Content Security Policy" in error for error in visit.errors) >= 4
