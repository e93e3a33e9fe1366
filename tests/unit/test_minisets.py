"""Mini-sets: those of the definition, and those that hold together what noise parts."""

from __future__ import annotations

import numpy as np
import pytest

from deeptracker.correlate.minisets import MiniSet, minisets, tolerant_minisets


def test_minisets__as_in_the_definition() -> None:
    # Layer 0 holds filters 0–3, layer 1 filters 4–5. Class 0 is abnormal at passes 0, 1, 2; class 1 at pass 2 only.
    marked = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], bool)
    layer = np.array([0, 0, 0, 0, 1, 1])
    found = np.array(
        [[0, 0], [2, 0], [0, 1], [2, 1], [3, 1], [0, 2], [1, 3], [2, 3], [2, 4], [3, 5]]
    )  # filters 0 and 1 are alike: pass 3 has no abnormal class
    got = minisets(found, marked, layer)
    assert [(one.layer, one.filters, one.cells) for one in got] == [(0, (0, 1), ((0, 0), (2, 0), (2, 1)))]
    # Filter 3: cells (1, 0), (2, 0), (2, 1): weight 3 < 4. Filter 2: one cell. Filter 4: two cells.


def test_minisets__stand_heaviest_first() -> None:
    found = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2], [0, 3], [1, 3], [0, 4], [1, 4]])
    got = minisets(found, np.ones((2, 1), bool), np.array([0, 0, 1, 1, 1]))
    assert [(one.layer, one.weight) for one in got] == [(1, 6), (0, 4)]


def noisy(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two groups of eight filters with ten cells each, of which every filter lacks one; and twenty that go alone."""
    rng = np.random.default_rng(seed)
    member = np.zeros((60, 36), bool)
    for group in range(2):
        passes = rng.choice(np.arange(30) + 30 * group, 10, replace=False)
        for filter_ in range(8 * group, 8 * group + 8):
            member[np.delete(passes, filter_ % 10), filter_] = True
    member[:, 16:] = rng.random((60, 20)) < 0.1
    return np.argwhere(member), np.ones((60, 1), bool), np.zeros(36, np.int64)


@pytest.mark.parametrize("seed", range(5))
def test_tolerant_minisets__hold_together_what_noise_parts(seed: int) -> None:
    found, marked, layer = noisy(seed)
    assert max(len(one.filters) for one in minisets(found, marked, layer)) == 1
    first, second = tolerant_minisets(found, marked, layer)[:2]
    assert {first.filters, second.filters} == {tuple(range(8)), tuple(range(8, 16))}
    assert all(len(one.cells) == 10 for one in (first, second))


@pytest.mark.parametrize("seed", range(20))
def test_tolerant_minisets__are_closed_and_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    member, marked = rng.random((12, 30)) < 0.5, rng.random((12, 3)) < 0.6
    member[:, ::2] |= member[:, [0]] & (rng.random((12, 15)) < 0.8)
    layer = np.sort(rng.integers(0, 3, 30))
    got = tolerant_minisets(np.argwhere(member), marked, layer)
    listed = [(one.layer, f) for one in got for f in one.filters]
    assert len(listed) == len(set(listed))
    assert all(layer[f] == where for where, f in listed)
    for one in got:
        assert overlaps(one, member, marked) or len(one.filters) == 1 or exact(one, member, marked)


def cells_of(filter_: int, member: np.ndarray, marked: np.ndarray) -> set[tuple[int, int]]:
    return {(v, c) for v, c in np.argwhere(marked).tolist() if member[v, filter_]}


def overlaps(one: MiniSet, member: np.ndarray, marked: np.ndarray) -> bool:
    """By the definition: each filter by 80% of the cells, each cell in 80% of the filters."""
    cells = set(one.cells)
    mine = [cells_of(f, member, marked) for f in one.filters]
    enough = all(len(some & cells) >= 0.8 * len(some | cells) - 1e-9 for some in mine)
    return enough and all(sum(cell in some for some in mine) >= 0.8 * len(mine) - 1e-9 for cell in cells)


def exact(one: MiniSet, member: np.ndarray, marked: np.ndarray) -> bool:
    return all(cells_of(f, member, marked) == set(one.cells) for f in one.filters)


def test_tolerant_minisets__of_identical_signatures_are_the_exact_ones() -> None:
    marked = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], bool)
    found = np.array([[0, 0], [2, 0], [0, 1], [2, 1], [3, 1], [0, 2], [1, 3], [2, 3], [2, 4], [3, 5]])
    layer = np.array([0, 0, 0, 0, 1, 1])
    assert tolerant_minisets(found, marked, layer) == minisets(found, marked, layer)
    assert tolerant_minisets(np.empty((0, 2), np.int64), marked, layer) == []
