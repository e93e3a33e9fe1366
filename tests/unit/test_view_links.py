"""The right face of the cube: links that may be chance are there, and not shown."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker.screen import cube as screen
from deeptracker.store import Run
from deeptracker.view.faces.cube import Cube

SET = "validation/raw"


def drawn(run: Run) -> tuple[Any, Any, str]:
    """Cells that are shown, those on demand, and what the box says."""
    cube = Cube(run, SET)
    sure, unsure = (one for one in cube.right.renderers if "union" in one.data_source.data)
    assert (sure.visible, unsure.visible) == (True, False)
    return sure, unsure, cube.unproven.labels[0]


def test_links__are_shown_where_they_are_proven(analysed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def tested(run: Run, view: str) -> screen.Faces:
        found = screen.faces(run, view)
        ratio = found.side["ratio"]
        return replace(found, side=found.side.assign(p=xr.where(ratio > ratio.median(), 0.05, 0.051)))

    monkeypatch.setattr(import_module("deeptracker.view.faces.cube"), "faces", tested)
    sure, unsure, words = drawn(analysed)
    p = np.asarray(sure.data_source.data["p"])
    assert sure.view.filter.indices == np.flatnonzero(p == 0.05).tolist() != []
    assert unsure.view.filter.indices == np.flatnonzero(p == 0.051).tolist() != []
    assert words.startswith(f"{(p == 0.051).sum()} links that may be chance (proven: {(p == 0.05).sum()};")


def test_links__of_an_analysis_that_did_not_test_them_are_not_proven(
    analysed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = screen.table
    monkeypatch.setattr(
        screen, "table", lambda *group, **chosen: whole(*group, **chosen).drop_vars("p", errors="ignore")
    )
    sure, unsure, _ = drawn(analysed)
    assert sure.view.filter.indices == []
    assert len(unsure.view.filter.indices) == len(sure.data_source.data["p"]) > 0


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
