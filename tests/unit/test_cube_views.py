"""Cuts through the cube, its projection, and the filters that a pin names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeptracker.app.explorer import Explorer
from deeptracker.schema.derived import PROVEN
from deeptracker.screen.cube import faces
from deeptracker.store import Run
from deeptracker.view.faces.cabinet import Cabinet, Projection, slanted
from deeptracker.view.faces.cube import Cube
from deeptracker.view.faces.cut import Cut, masks
from deeptracker.view.faces.raster import COLOURS, Raster
from deeptracker.view.faces.strongest import strongest, strongest_html
from deeptracker.view.places import layers_of

VIEW = "validation/raw"
SHARE = st.floats(0, 1)
SOME = st.lists(st.integers(0, 4), max_size=3, unique=True).map(tuple)


@given(SOME, SOME, SOME, st.integers(0, 2**32 - 1))
def test_masks__are_those_of_the_filled_cube(layers: Any, classes: Any, passes: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    abnormal, filters = rng.random((5, 5)) < 0.4, rng.integers(0, 2, (5, 5))
    top, front, side = masks(abnormal, filters, Cut(layers, classes, passes))
    at, of, wide = (set(some) or set(range(5)) for some in (passes, layers, classes))
    for p in range(5):
        for i in range(5):
            with_layer = not layers or any(filters[p, one] > 0 for one in layers)
            assert top[p, i] == (abnormal[p, i] and p in at and i in wide and with_layer)
            with_class = not classes or any(abnormal[p, one] for one in classes)
            assert front[p, i] == (filters[p, i] > 0 and p in at and i in of and with_class)
    for layer in range(5):
        for c in range(5):
            met = any(filters[p, layer] > 0 and abnormal[p, c] for p in at)
            assert side[layer, c] == (met and layer in of and c in wide)


@given(SHARE, SHARE)
def test_projection__each_face_is_found_again(a: float, b: float) -> None:
    shape = Projection()
    for which, point in (("front", (a, b, 0)), ("top", (a, 1, b)), ("side", (1, b, a))):
        found = shape.face_at(*shape.at(*point))
        assert found is not None
        want = {"front": (a, b), "top": (a, b), "side": (a, b)}[which]
        if found[0] == which:  # an edge belongs to both of its faces
            assert found[1:] == pytest.approx(want, abs=1e-9)
        else:
            assert min(a, b, 1 - a, 1 - b) < 1e-9
    assert shape.face_at(-1, 0) is None
    assert shape.face_at(shape.wide + shape.right, 0) is None


@pytest.mark.parametrize("which", ["front", "top", "side"])
def test_slanted__a_cell_lies_where_the_projection_puts_it(which: str) -> None:
    shape, rows, columns = Projection(), 5, 4
    for row in range(rows):
        for column in range(columns):
            face = np.zeros((rows, columns, 4), np.uint8)
            face[row, column] = (10, 20, 30, 255)
            picture = np.asarray(slanted(face, shape, which))
            down, across = 1 - (row + 0.5) / rows, (column + 0.5) / columns
            x, y = {
                "front": shape.at(across, down, 0),
                "top": shape.at(across, 1, down),
                "side": shape.at(1, down, across),
            }[which]
            assert picture[shape.high + shape.up - 1 - int(y), int(x)].tolist() == [10, 20, 30, 255]


def test_cube__a_cut_fades_what_lies_outside_and_an_empty_one_shows_all(analysed: Run) -> None:
    cube = Cube(analysed, VIEW)
    cube.cut(Cut(classes=(1,)))
    for face in ("top", "proven", "unproven"):
        raster = cube.rasters[face]
        there = raster.shown > 0
        labels, seen = raster.cells.at[1][raster.shown[there] - 1], drawn(raster)[there]
        assert {True, False} <= set(labels == 1) or face != "top"
        assert (seen[labels != 1] > COLOURS).all()
        assert (seen[labels == 1] <= COLOURS).all() or face != "top"  # a link may lie outside the cut
    cube.cut(Cut())
    assert all(drawn(raster).max(initial=0) <= COLOURS for raster in cube.rasters.values())


def drawn(raster: Raster) -> Any:
    """The bytes of a face, as the browser gets them, (band, column)."""
    (image,) = raster.source.data["image"]
    edges = raster.edges
    rows = (np.arange(len(image)) + 0.5) / len(image) * (edges[-1] - edges[0]) + edges[0]
    bands = np.searchsorted(edges, rows, side="right") - 1
    assert (np.diff(bands) <= 1).all()
    return image[np.searchsorted(bands, np.arange(len(edges) - 1))].astype(np.int64)


def test_cube__a_click_on_a_cell_cuts_everything_at_it(analysed: Run) -> None:
    explorer = Explorer(analysed)
    section: Any = next(s for s in explorer.sections if s.name == "section-cube")
    cube, state = section.cube, explorer.state
    iteration, layer = int(cube.faces.passes[7]), cube.layers[2].name
    between = float(iteration + cube.faces.passes[6]) / 2
    section._tap("front", SimpleNamespace(x=between, y=len(cube.layers) - 2.5))
    assert (state.pins, state.layers, state.classes) == ([iteration], [layer], [])
    assert f"Strongest filters at {iteration:,}" in section.top_filters.text
    middle = float(cube.edges[1] + cube.edges[2]) / 2
    section._tap("top", SimpleNamespace(x=between, y=middle))
    assert (state.layers, state.classes) == ([], [cube.names[cube.kept[1]]])
    state.form = "cabinet"
    shape = section.cabinet.projection
    section._tap_cabinet(SimpleNamespace(**dict(zip("xy", shape.at(1, 0.999, 0.001), strict=True))))
    assert (state.pins, state.layers) == ([], [cube.layers[0].name])
    assert state.classes == [cube.names[cube.kept[0]]]
    assert len(section.cabinet.lines.data["xs"]) == 2


def test_cube__a_click_on_a_miniset_selects_its_filters_class_and_pass(analysed: Run) -> None:
    explorer = Explorer(analysed)
    section: Any = next(s for s in explorer.sections if s.name == "section-cube")
    box = section.cube.drawings[0].rectangles
    box["x"], box["y"], box["w"], box["h"] = [0.4], [1.5], [0.1], [0.2]
    box["layer"], box["class"], box["iteration"], box["filters"] = ["conv1"], ["class 1"], [240], ["3, 5"]
    section._tap("right", SimpleNamespace(x=0.42, y=1.55))
    state = explorer.state
    assert (state.layers, state.classes, state.pins) == (["conv1"], ["class 1"], [240])
    assert state.filters == ["conv1:3", "conv1:5"]


def test_cabinet__shows_the_cells_of_the_faces_and_tells_what_is_where(analysed: Run) -> None:
    found = faces(analysed, VIEW)
    cabinet = Cabinet(analysed, VIEW, found, layers_of(analysed))
    shape, picture = cabinet.projection, cabinet.picture()
    assert picture.shape == (shape.high + shape.up, shape.wide + shape.right, 4)
    table = np.asarray(found.front["filters"].transpose("validation", "layer").values)
    count, wide = table.shape[1], len(table)
    for p, layer in zip(*np.nonzero(table), strict=True):
        x, y = shape.at((p + 0.5) / wide, 1 - (layer + 0.5) / count, 0)
        pixel = picture[shape.high + shape.up - 1 - int(y), int(x)]
        assert pixel[:3].min() < 250
        assert cabinet.read(x, y) == (int(found.passes[p]), layers_of(analysed)[layer].name, None)
    p = np.asarray(found.side["p"].transpose("layer", "class").values)
    for layer, c in np.argwhere(~(p <= PROVEN)):
        if c in found.kept:
            depth = (list(found.kept).index(c) + 0.5) / len(found.kept)
            x, y = shape.at(1, 1 - (layer + 0.5) / count, depth)
            assert picture[shape.high + shape.up - 1 - int(y), int(x)].tolist() == [255, 255, 255, 255]


def test_strongest__are_the_largest_scores_of_the_record(analysed: Run) -> None:
    found = strongest(analysed, 205, 3)
    assert found is not None
    at, title, filters = found
    group, name = ("anomalies/filters", "filter_score") if "score" in title else ("filters/dense", "update_angle")
    scores = analysed.dataset(group)[name]
    own = scores.values[scores["iteration"].values.tolist().index(at)]
    order = np.argsort(-np.abs(np.where(np.isfinite(own), own, 0)), kind="stable")[:3]
    assert [value for _, _, value in filters] == pytest.approx(own[order].tolist())
    assert "Pin an iteration" in strongest_html(analysed, [])
