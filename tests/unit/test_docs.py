"""What the documentation says is what the code says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import deeptracker as dt

ROOT = Path(__file__).parents[2]


def test_data_model__is_the_page_of_the_registry() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "data_model.py"))["page"]()
    assert (ROOT / "docs" / "data-model.md").read_text().rstrip() == page.rstrip(), (
        "out of date: python docs/data_model.py > docs/data-model.md"
    )


def test_readme__opens_with_a_picture_the_two_commands_and_the_recorder() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    assert re.search(r"!\[[^\]]+\]\(docs/explorer\.png\)", first_screen)
    assert (ROOT / "docs" / "explorer.png").exists()
    for needed in ("make demo", "make test", "dt.Recorder(", "recorder.step(", "recorder.validate("):
        assert needed in first_screen


def test_public_names__are_those_of_the_design() -> None:
    for name in ("Recorder", "watch", "open_run", "analyze", "view", "export"):
        assert getattr(dt, name) is not None
    for name in ("layers", "validation", "cube"):
        assert callable(getattr(dt.view, name))
    assert callable(dt.export.report)
    assert callable(dt.testing.simulate)
