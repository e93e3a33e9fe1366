"""Links of layers and classes: what chance within a stratum gives, against every permutation and simulated nulls."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from deeptracker.correlate import links
from deeptracker.correlate.links import Strata, p_values
from deeptracker.schema.derived import PROVEN

Flags = Any


def test_strata__expect_what_all_permutations_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "STRATUM", 4)
    rng = np.random.default_rng(3)
    layers, classes = rng.random((10, 3)) < 0.4, rng.random((10, 5)) < 0.5
    layers[8:] = [[1, 0, 1], [1, 0, 1]]  # a short stratum in which no layer changes
    joint = [
        layers[[*one, *(4 + place for place in other), 8, 9]].T.astype(int) @ classes
        for one, other in product(permutations(range(4)), repeat=2)
    ]
    strata = Strata.of(layers, classes)
    fixed = layers[8:].T.astype(int) @ classes[8:]
    assert strata.number.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    np.testing.assert_allclose(strata.mean + fixed, np.mean(joint, axis=0), atol=1e-12)
    np.testing.assert_allclose(strata.scale**2 - 0.25, np.var(joint, axis=0), atol=1e-12)
    expected = (layers.T.astype(int) @ classes - np.mean(joint, axis=0)) / np.sqrt(np.var(joint, axis=0) + 0.25)
    np.testing.assert_allclose(strata.score(), expected, atol=1e-6)


def test_draws__are_the_same_however_they_are_shared_out() -> None:
    layers, classes = simulated(np.random.default_rng(0))
    strata = Strata.of(layers, classes)
    parts = [strata.largest(range(first, min(first + 7, 50))) for first in range(0, 50, 7)]
    np.testing.assert_array_equal(strata.largest(range(50)), np.concatenate(parts))


def simulated(rng: np.random.Generator) -> tuple[Flags, Flags]:
    """200 passes of 8 layers and 30 classes: independent, but the first and one later stretch shake everything."""
    often = np.where(np.arange(200) < 20, 0.6, np.where((np.arange(200) >= 120) & (np.arange(200) < 140), 0.4, 0.03))
    return rng.random((200, 8)) < often[:, None], rng.random((200, 30)) < often[:, None]


def found(layers: Flags, classes: Flags) -> Any:
    strata = Strata.of(layers, classes)
    return p_values(strata.score(), strata.largest(range(199)))


def test_link__that_is_only_common_unrest_is_seldom_proven() -> None:
    rng = np.random.default_rng(1)
    wrong = sum(bool((found(*simulated(rng)) <= PROVEN).any()) for _ in range(150))
    assert wrong <= 15  # 5% of 150 are 7.5; more than 15 once in 200 times


def test_link__without_strata_unrest_would_be_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "STRATUM", 200)
    rng = np.random.default_rng(1)
    assert sum(bool((found(*simulated(rng)) <= PROVEN).any()) for _ in range(20)) >= 18


def test_link__that_is_there_is_proven_and_no_other() -> None:
    rng = np.random.default_rng(2)
    layers, classes = simulated(rng)
    together = rng.choice(np.arange(30, 110), 12, replace=False)
    layers[together, 5] = classes[together, 17] = True
    proven = np.argwhere(found(layers, classes) <= PROVEN)
    assert proven.tolist() == [[5, 17]]


@pytest.mark.parametrize("flags", [np.zeros((0, 2), bool), np.zeros((40, 2), bool), np.ones((40, 2), bool)])
def test_link__of_what_never_changes_is_not_proven(flags: Flags) -> None:
    p = found(flags, np.random.default_rng(0).random((len(flags), 3)) < 0.5)
    assert p.shape == (2, 3)
    assert (p == 1).all()
