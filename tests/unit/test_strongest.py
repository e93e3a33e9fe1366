"""Of all signals the one that stands closest to its own alarm level."""

from __future__ import annotations

import numpy as np

from deeptracker.detect.strongest import strongest

NAN = np.nan


def of(values: list[list[float]], heights: list[float]) -> tuple[list[float], list[int], list[float]]:
    """Score, signal, excess at one record; ``values`` (signals, things)."""
    scores = np.array(values, np.float32)[:, None]
    found = strongest(scores, np.array(heights)[:, None])
    return tuple(part[0].tolist() for part in found)  # type: ignore[return-value]


def test_strongest__is_the_signal_nearest_to_its_own_level_whatever_its_sign() -> None:
    score, signal, excess = of([[8.0, -8.0, NAN], [-9.0, 3.0, -3.0]], [10.0, 15.0])
    assert (score, signal) == ([8.0, -8.0, -3.0], [0, 0, 1])
    np.testing.assert_allclose(excess, [0.8, 0.8, 0.2])


def test_strongest__without_levels_is_the_largest_score_and_has_no_excess() -> None:
    score, signal, excess = of([[2.0, -5.0], [-4.0, NAN]], [NAN, NAN])
    assert (score, signal) == ([-4.0, -5.0], [1, 0])
    assert np.isnan(excess).all()


def test_strongest__of_nothing_is_nan_and_no_signal() -> None:
    score, signal, excess = of([[NAN], [NAN]], [10.0, 10.0])
    assert signal == [-1]
    assert np.isnan([*score, *excess]).all()
