"""Faces of the cube as images: what is in a pixel is the greatest cell there, and a click finds it."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.plotting import figure
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.view.columns import Columns, columns
from deeptracker.view.faces.cube import joined, since
from deeptracker.view.faces.links import FINE, class_columns
from deeptracker.view.faces.raster import COLOURS, Cells, Raster
from deeptracker.view.scale import count_scale


def raster(places: list[int], bands: list[int], sizes: list[int], rows: int = 3) -> Raster:
    place, band, size = (np.array(one, np.int64) for one in (places, bands, sizes))
    edges = np.arange(rows + 1, dtype=np.float64)
    cells = Cells((place, band), band, place, size, size, {"count": size})
    return Raster(figure(), cells, count_scale(size, "things"), edges, 90, [("how many", "@cell{count}")])


SOME = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 2), st.integers(1, 9)), max_size=40)


@settings(deadline=None)
@given(SOME, st.lists(st.integers(1, 9), min_size=31, max_size=31), st.integers(2, 50), st.integers(0, 2**32 - 1))
def test_raster__a_pixel_shows_the_greatest_cell_of_the_cut_that_reaches_into_it(
    cells: Any, steps: list[int], pixels: int, seed: int
) -> None:
    """Against a loop over pixels; passes unevenly spaced, and a part of the run as well as all of it."""
    rng = np.random.default_rng(seed)
    passes = np.cumsum(steps)[:30]
    at = since(passes)
    face = raster(*(list(one) for one in zip(*cells, strict=True))) if cells else raster([], [], [])
    inside = rng.random(len(cells)) < 0.5
    start, stop = sorted(int(one) for one in rng.choice(30, 2, replace=False))
    grid = columns(at[start : stop + 1], float(at[start]), float(at[stop]), pixels)
    face.draw(grid, start)
    face.cut(inside)
    for column in range(grid.count):
        rows = range(start + int(grid.first[column]), start + int(grid.last[column]))
        for band in range(3):
            there = [(inside[i], c[2]) for i, c in enumerate(cells) if c[0] in rows and c[1] == band]
            number = int(face.shown[band, column])
            assert (number > 0) == bool(there)
            if there:
                assert (inside[number - 1], cells[number - 1][2]) == max(there)
                x = grid.left + grid.width * (column + 0.5)
                assert face.cell_at(x, band + 0.5) == number - 1
    for image, cell in zip(face.source.data["image"], face.source.data["cell"], strict=True):
        assert ((image > 0) == (cell > 0)).all()
        assert ((image > COLOURS)[cell > 0] == ~inside[cell[cell > 0].astype(int) - 1]).all()


def test_raster__columns_cover_the_iterations_of_their_passes() -> None:
    passes = np.array([10, 20, 30, 45])
    at = since(passes)
    assert at.tolist() == [0, 10, 20, 30, 45]
    face = raster([3], [1], [5])
    face.draw(columns(at, 0.0, 45.0, 450))
    seen = face.grid.left + face.grid.width * (np.flatnonzero(face.shown[1]) + 0.5)
    assert 30 <= seen.min() < 30.2
    assert 44.8 < seen.max() <= 45 + face.grid.width
    assert face.cell_at(10.0, 1.5) is None
    assert face.cell_at(40.0, 0.5) is None
    assert face.cell_at(400.0, 1.5) is None


def test_raster__without_cells_or_columns_is_empty() -> None:
    face = raster([], [], [])
    face.draw(Columns(0.0, 1.0, np.zeros(0, np.intp), np.zeros(0, np.intp)))
    face.cut(np.zeros(0, bool))
    assert face.source.data["image"] == []


def test_joined__rows_too_thin_to_see_are_joined_and_cover_all() -> None:
    edges = np.concatenate([[0], np.cumsum(np.random.default_rng(0).uniform(0.7, 2.5, 1000))])
    borders = joined(edges, 130)
    assert (borders[0], borders[-1]) == (0, 1000)
    assert len(borders) == 131
    assert np.diff(edges[borders]).max() < 2 * edges[-1] / 130
    assert joined(edges[:11], 130).tolist() == list(range(11))


def test_class_columns__hold_every_class_and_leave_a_gap_where_there_is_room() -> None:
    few = class_columns(np.linspace(0, 10, 11))
    per = [int(((few.first <= c) & (few.last > c)).sum()) for c in range(10)]
    assert set(per) == {FINE // 10 - 1}
    many = class_columns(np.concatenate([[0], np.cumsum(np.random.default_rng(0).uniform(0.7, 2.5, 1000))]))
    assert all(((many.first <= c) & (many.last > c)).any() for c in range(1000))
