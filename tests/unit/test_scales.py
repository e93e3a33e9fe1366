"""The runs that benchmarks draw up by themselves are runs: what reads real ones reads them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from deeptracker.screen import cube
from deeptracker.view.faces.cube import Cube

VIEW = "validation/raw"


@pytest.fixture
def scales(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    yield importlib.import_module("scales")
    sys.modules.pop("scales")


def test_scales__of_the_screen_have_all_that_a_cube_shows(scales: Any, tmp_path: Path) -> None:
    run = scales.made(scales.Scale("little", "tiny", 60, 2, 60, 5, True), tmp_path)
    assert run.dataset("filters/dense").sizes["iteration"] == 120
    assert cube.faces(run, VIEW).side["p"].shape == (6, 5)
    assert cube.minisets(run, VIEW) is not None
    assert cube.minisets(run, VIEW, tolerant=True) is not None
    assert Cube(run, VIEW).layout is not None
