"""Merge laws: however parameters are cut into layers, the coarse level has the statistics of them all together."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.aggregate.levels import STATISTICS, Layers, merge_layers
from deeptracker.schema.recorded import statistics

Vector = npt.NDArray[np.float64]


def plain(w: Vector, g: Vector, before: Vector, init: Vector) -> dict[str, float]:
    """Every statistic by its definition, in NumPy."""
    norm = np.linalg.norm
    out: dict[str, float] = {}
    for letter, x in (("w", w), ("g", g)):
        out |= {
            f"{letter}_min": x.min(),
            f"{letter}_max": x.max(),
            f"{letter}_mean": x.mean(),
            f"{letter}_std": x.std(),
            f"{letter}_norm1": np.abs(x).sum(),
            f"{letter}_norm2": norm(x),
            f"{letter}_rms": norm(x) / np.sqrt(x.size),
            f"{letter}_zero_fraction": (x == 0).mean(),
        }
    step = w - before

    def ratio(top: float, bottom: float) -> float:
        return top / bottom if bottom else np.nan

    def angle(a: Vector, b: Vector) -> float:
        if not norm(a) or not norm(b):
            return np.nan
        return float(2 * np.arcsin(min(1.0, norm(a / norm(a) - b / norm(b)) / 2)))

    return out | {
        "grad_ratio1": ratio(out["g_norm1"], out["w_norm1"]),
        "grad_ratio2": ratio(out["g_norm2"], out["w_norm2"]),
        "update_norm1": np.abs(step).sum(),
        "update_norm2": float(norm(step)),
        "update_ratio1": ratio(np.abs(step).sum(), np.abs(before).sum()),
        "update_ratio2": ratio(float(norm(step)), float(norm(before))),
        "update_cosine": ratio(float(w @ before), float(norm(w) * norm(before))),
        "update_angle": angle(w, before),
        "rotation_from_init": angle(w, init),
        "nonfinite": 0,
    }


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[slice], dict[str, Vector]]:
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    total = sum(sizes)
    init = rng.normal(draw(st.floats(-1, 1)), draw(st.sampled_from([1e-3, 1.0])), total)
    before = init + draw(st.sampled_from([0.0, 0.3])) * rng.standard_normal(total)
    w = before + draw(st.sampled_from([0.0, 1e-3, 0.1])) * rng.standard_normal(total)
    g = rng.standard_normal(total) * draw(st.sampled_from([0.0, 1e-4, 1.0]))
    w[rng.random(total) < draw(st.sampled_from([0.0, 0.2]))] = 0
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    pieces = [slice(a, b) for a, b in itertools.pairwise(bounds)]
    return pieces, {"w": w, "g": g, "before": before, "init": init}


def rounding_of_angle(a: Vector, b: Vector, angle: float) -> float:
    """What norms stored as float32 leave unknown of an angle that is computed from them.

    sin²(θ/2) = (d² − (|a| − |b|)²) / 4|a||b| is known to some ε (d² + (|a| − |b|)²) / 4|a||b|, the angle near 0 to
    twice the root of that; near π the same holds of cos² with (|a| + |b|)².
    """
    length, other, distance = np.linalg.norm(a), np.linalg.norm(b), np.linalg.norm(a - b)
    edge = length - other if angle < np.pi / 2 else length + other
    known = 16 * np.finfo(np.float32).eps * (distance**2 + edge**2) / (4 * length * other)
    near_edge = 2 * np.sqrt(known)
    return float(4e-5 + min(near_edge, known / max(abs(np.sin(angle)) / 2, 1e-12)))


@settings(max_examples=80, deadline=None)
@given(cuts())
def test_merge_layers__gives_the_statistics_of_the_concatenation(
    case: tuple[list[slice], dict[str, Vector]],
) -> None:
    pieces, vectors = case
    each = [plain(*(vectors[name][piece] for name in ("w", "g", "before", "init"))) for piece in pieces]
    stored = {
        name: np.array([[one[name] for one in each]], np.float32).astype(np.float64) for name in each[0]
    }  # what the recorder would have kept
    init = np.array([np.linalg.norm(vectors["init"][piece]) for piece in pieces])
    sizes = np.array([piece.stop - piece.start for piece in pieces], float)
    merged = merge_layers(Layers(stored, sizes, init), np.zeros(len(pieces), int), 1)
    whole = plain(*(vectors[name] for name in ("w", "g", "before", "init")))
    scale = {
        "update_cosine": 1.0,
        "w_mean": whole["w_rms"],
        "w_std": whole["w_rms"],
        "g_mean": whole["g_rms"],
        "g_std": whole["g_rms"],
    }
    for name, expected in whole.items():
        got = float(merged[name][0, 0])
        if name in ("update_angle", "rotation_from_init") and np.isfinite(expected):
            other = vectors["before" if name == "update_angle" else "init"]
            assert abs(got - expected) <= rounding_of_angle(vectors["w"], other, expected), (name, got, expected)
            continue
        near = 2e-6 * max(abs(expected) if np.isfinite(expected) else 0, scale.get(name, 0))
        assert np.isclose(got, expected, rtol=2e-6, atol=near, equal_nan=True), (name, got, expected)


def test_statistics__are_those_of_the_schema() -> None:
    assert [row.name for row in STATISTICS] == [variable.name for variable in statistics("layer")]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(5)))
def test_merge_layers__does_not_depend_on_the_order_of_layers(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    names = [row.name for row in STATISTICS]
    values = {name: rng.random((3, 5)) for name in names}
    sizes, init = rng.integers(1, 100, 5).astype(float), rng.random(5)
    group = rng.integers(0, 2, 5)
    one = merge_layers(Layers(values, sizes, init), group, 2)
    other = merge_layers(
        Layers({name: array[:, order] for name, array in values.items()}, sizes[order], init[order]), group[order], 2
    )
    for name in names:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_merge_layers__a_layer_without_gradient_adds_nothing_and_all_without_gives_nan() -> None:
    values = {row.name: np.ones((1, 2)) for row in STATISTICS}
    for name in ("g_min", "g_max", "g_mean", "g_std", "g_norm1", "g_norm2", "g_rms", "g_zero_fraction"):
        values[name] = np.array([[np.nan, 2.0]])
    values["nonfinite"] = np.zeros((1, 2))
    sizes = np.array([10.0, 4.0])
    both = merge_layers(Layers(values, sizes, np.ones(2)), np.zeros(2, int), 1)
    assert both["g_mean"][0, 0] == 2.0
    assert both["g_rms"][0, 0] == 1.0
    apart = merge_layers(Layers(values, sizes, np.ones(2)), np.arange(2), 2)
    for name in ("g_min", "g_mean", "g_std", "g_norm2", "g_rms", "g_zero_fraction"):
        assert np.isnan(apart[name][0, 0]), name
