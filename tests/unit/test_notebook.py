"""The last word of a notebook's cell is shown: ours as a frame of its own, what others made as before."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from bokeh.models import Div

from deeptracker.store import Run
from deeptracker.view import notebook, overview


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A notebook's Python."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    return shell


def test_notebook__a_view_is_a_frame_that_needs_no_network(analysed: Run, shell: Any) -> None:
    formats, _ = shell.display_formatter.format(overview(analysed))
    page = unescape(re.search(r'srcdoc="([^"]*)"', formats["text/html"])[1])  # type: ignore[index]
    assert page.startswith("<!DOCTYPE html>")
    assert "training iteration" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.?https?:", page)


def test_notebook__layouts_of_others_stay_as_they_were(analysed: Run, shell: Any) -> None:
    overview(analysed)
    formats, _ = shell.display_formatter.format(Div(text="theirs"))
    assert "<iframe" not in formats["text/html"]
    assert "'theirs'" in formats["text/html"]


def test_notebook__outside_of_one_nothing_is_registered(analysed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    assert notebook.OURS in overview(analysed).tags
