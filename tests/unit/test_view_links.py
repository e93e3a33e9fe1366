"""The right face of the cube: links that may be chance are there, and not shown."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import xarray as xr

from deeptracker.screen import cube as screen
from deeptracker.store import Run
from deeptracker.view.faces.cube import Cube

SET = "validation/raw"


def drawn(run: Run) -> tuple[Any, Any, str]:
    """Cells that are shown, those on demand, and what the box says."""
    cube = Cube(run, SET)
    sure, unsure = cube.rasters["proven"], cube.rasters["unproven"]
    assert (sure.glyph.visible, unsure.glyph.visible) == (True, False)
    assert {sure.glyph, unsure.glyph} <= set(cube.right.renderers)
    return sure, unsure, cube.unproven.labels[0]


def test_links__are_shown_where_they_are_proven(analysed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def tested(run: Run, view: str) -> screen.Faces:
        found = screen.faces(run, view)
        ratio = found.side["ratio"]
        return replace(found, side=found.side.assign(p=xr.where(ratio > ratio.median(), 0.05, 0.051)))

    monkeypatch.setattr(import_module("deeptracker.view.faces.cube"), "faces", tested)
    sure, unsure, words = drawn(analysed)
    assert set(sure.cells.told["p"]) == {0.05}
    assert set(unsure.cells.told["p"]) == {0.051}
    count = len(unsure.cells.band)
    assert words.startswith(f"{count} links that may be chance (proven: {len(sure.cells.band)};")


def test_links__of_an_analysis_that_did_not_test_them_are_not_proven(
    analysed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = screen.table
    monkeypatch.setattr(
        screen, "table", lambda *group, **chosen: whole(*group, **chosen).drop_vars("p", errors="ignore")
    )
    sure, unsure, _ = drawn(analysed)
    assert not sure.shown.any()
    assert unsure.shown.any()


def test_minisets__that_share_most_of_their_cells_are_there_on_demand(analysed: Run) -> None:
    cube = Cube(analysed, SET)
    exact, tolerant = (
        [one for one in cube.right.renderers if {"layer", "filters"} <= set(getattr(one, "data_source", one).data)][
            at
        ]
        for at in (0, 1)
    )
    assert (exact.visible, tolerant.visible) == (True, False)
    assert exact.data_source.data["size"]
    (words,) = cube.tolerance.labels
    assert words.startswith("mini-sets of filters with 80% of their cells in common: ")
