"""Every number on the screen can be had in a script: the expressions that the page offers work as they are."""

from __future__ import annotations

import html
import re
from typing import Any

import numpy as np
import pytest

from deeptracker.app.explorer import Explorer
from deeptracker.store import Run

COPY = re.compile(r'data-copy="([^"]*)"')


def offered(explorer: Explorer) -> dict[str, str]:
    """The expression of each section, as its button has it."""
    return {section.name: section.expression() for section in explorer.sections if section.parts}


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"show": [b"value"], "statistic": [b"w_rms"], "level": [b"stage"], "look": [b"horizon"]},
        {"look": [b"band"], "start": [b"100"], "stop": [b"180"]},
        {"classes": [b"class 1"], "layers": [b"conv1", b"layer1.0.conv1"], "filters": [b"layer1.0.conv1:3"]},
        {"event": [b"1"]},
    ],
)
def test_expressions__of_every_section_can_be_evaluated(analysed: Run, query: dict[str, list[bytes]]) -> None:
    explorer = Explorer(analysed, query)
    found = [text for text in offered(explorer).values() if text]
    assert len(found) >= 7
    for text in found:
        assert eval(text, {"run": analysed}) is not None, text


def test_expressions__stand_behind_the_buttons_of_the_page(analysed: Run) -> None:
    explorer = Explorer(analysed, {"classes": [b"class 1"]})
    shown: list[str] = []
    for section in explorer.sections:
        for part in section.parts:
            for pane in getattr(part, "objects", [part]):
                text = getattr(getattr(pane, "object", None), "text", None)
                shown += [html.unescape(one) for one in COPY.findall(str(text))]
    assert {text for text in offered(explorer).values() if text} <= set(shown)
    for text in shown:
        assert eval(text, {"run": analysed}) is not None, text


def test_expression_of_filters__is_the_series_that_is_drawn(analysed: Run) -> None:
    explorer = Explorer(analysed, {"filters": [b"layer1.0.conv1:3"], "layers": [b"layer1.0.conv1"]})
    section: Any = next(s for s in explorer.sections if s.name == "section-filters")
    series = eval(section.expression(), {"run": analysed})
    np.testing.assert_allclose(section.filters.lines.data["filter"], np.ravel(series.values), rtol=1e-6)
