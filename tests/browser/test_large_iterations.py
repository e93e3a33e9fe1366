"""Iterations past what an int32, and up to what a float64 tells apart, stand on the page with all their digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deeptracker.analysis import analyze
from soak.oddities import Odd, record

pytestmark = pytest.mark.browser

LABELS = """() => Array.from(Bokeh.index.all_views())
  .filter(v => v.model.type == 'LinearAxis' && v.model.ticker.type == 'CustomJSTicker' && v.model.visible)
  .map(v => v.compute_labels(v.tick_coords.major[0]).items.map(item => item.text))"""


@pytest.mark.parametrize("first", [2**31 - 10, 2**53 - 100])
def test_iterations__keep_every_digit_in_address_axis_and_chips(
    visit: Any, served: Any, tmp_path: Path, first: int
) -> None:
    steps = tuple(range(first, first + 100))
    record(Odd(steps=steps), tmp_path / "run")
    analyze(tmp_path / "run")
    server = served(tmp_path / "run")
    start, stop, pin = first + 31, first + 47, first + 33
    asked = f"{server.address}?start={start}&stop={stop}&pins={pin}"
    visit.open(asked)
    assert (visit.model("iterations", "start"), visit.model("iterations", "end")) == (start, stop)
    assert visit.page.url == asked
    assert pin in list(visit.model("lines", "data")["x"])
    shown = [int(label.replace(",", "")) for axis in visit.page.evaluate(LABELS) for label in axis]
    assert sum(start <= label <= stop for label in shown) >= 4
    assert set(shown) <= set(range(first - 1, first + 102))
    assert visit.page.locator(".chip b").all_inner_texts() == [f"iterations {start:,} – {stop:,}", f"pin {pin:,}"]
    assert visit.errors == []
    assert "Traceback" not in server.stop()
