"""On a server, sections are made when they come into sight, and follow the selection while they are."""

from __future__ import annotations

from typing import Any

from deeptracker.app.explorer import FIRST, SECTIONS, Explorer
from deeptracker.store import Run


def section(explorer: Explorer, name: str) -> Any:
    return next((one for one in explorer.sections if one.name == name), None)


def test_sight__a_section_is_made_when_it_is_seen_and_only_once(analysed: Run) -> None:
    explorer = Explorer(analysed, whole=False)
    assert [one.name for one in explorer.sections] == [kind.name for kind in SECTIONS[:FIRST]]
    explorer.sight.seen = ["section-cube", "no-such-section"]
    cube = section(explorer, "section-cube")
    assert list(explorer.views["section-cube"]) == cube.parts
    explorer.sight.seen = ["section-layers"]
    explorer.sight.seen = ["section-cube"]
    assert [one.name for one in explorer.sections].count("section-cube") == 1


def test_sight__what_is_not_seen_catches_up_when_it_is(analysed: Run) -> None:
    explorer = Explorer(analysed, whole=False)
    explorer.sight.seen = ["section-filters"]
    filters = section(explorer, "section-filters")
    before, other = filters.filters.layer, "layer1.0.conv1"
    assert before != other
    explorer.sight.seen = ["section-layers"]
    explorer.state.layers = [other]
    explorer.state.layers = [other, before]
    explorer.state.layers = [other]
    assert filters.filters.layer == before
    assert len(explorer.context.agenda.unseen) == len(set(explorer.context.agenda.unseen))
    explorer.sight.seen = ["section-layers", "section-filters"]
    assert filters.filters.layer == other


def test_sight__without_a_browser_all_is_there_and_follows(analysed: Run) -> None:
    explorer = Explorer(analysed)
    assert {one.name for one in explorer.sections} == set(explorer.kinds)
    explorer.state.layers = ["layer1.0.conv1"]
    assert section(explorer, "section-filters").filters.layer == "layer1.0.conv1"
