"""The cube: a hand-made example from the definitions, and plain-Python references on small random cases."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deeptracker.conform import build, check
from deeptracker.correlate import correlate, cube
from deeptracker.correlate.faces import abnormal, expected_union, thresholds, union
from deeptracker.correlate.join import alarms, front, listed, members, pass_of, strongest, together
from deeptracker.correlate.minisets import minisets
from deeptracker.errors import InputError
from deeptracker.schema.derived import DIRECTIONS, MODEL_SIGNALS, RULES, SIGNALS
from deeptracker.testing import MemorySink, simulate

VIEW = "validation/raw"
PATH = f"correlation/validation/{VIEW}"


def test_pass_of__a_pass_takes_what_lies_after_the_previous_one_up_to_itself() -> None:
    passes = np.array([10, 20, 30])
    assert pass_of(np.array([0, 10, 11, 20, 21, 30, 31]), passes).tolist() == [0, 0, 1, 1, 2, 2, -1]


def test_alarms__are_filters_at_or_above_their_level_and_never_nan() -> None:
    record, filter_ = alarms(np.array([[0.5, 1.0, np.nan], [2.0, 0.99, 1.5]]))
    assert list(zip(record.tolist(), filter_.tolist(), strict=True)) == [(0, 1), (1, 0), (1, 2)]


def test_members__each_pair_counts_once_however_many_records_alarm() -> None:
    found = listed(np.array([[3, -1], [3, 1], [0, -1]]))
    assert members(found, np.array([0, 0, -1])).tolist() == [[0, 1], [0, 3]]


def test_listed__counts_the_first_filter_and_leaves_out_empty_ranks() -> None:
    record, filter_ = listed(np.array([[0, -1], [-1, 2]]))
    assert list(zip(record.tolist(), filter_.tolist(), strict=True)) == [(0, 0), (1, 2)]


def test_strongest__is_the_largest_score_of_a_layer_between_two_passes() -> None:
    score = np.array([[1.0, -5.0, 2.0], [np.nan, 3.0, np.nan], [9.0, 9.0, np.nan]], np.float32)
    got = strongest(score, np.array([0, 0, 1]), 3, np.array([0, 2]))
    np.testing.assert_array_equal(got, [[5, 2], [9, np.nan], [np.nan, np.nan]])


def test_thresholds__are_a_share_of_the_class_and_at_least_three() -> None:
    assert thresholds(np.array([50, 10, 200, 31]), 0.1).tolist() == [5, 3, 20, 4]
    assert thresholds(np.array([50]), 0.6).tolist() == [30]


def test_abnormal__late_changes_of_few_or_sudden_changes_of_many() -> None:
    images = np.array([50])
    left = np.zeros((4, 1, 2), int)
    right = np.zeros((4, 1, 2), int)
    left[0, 0] = [29, 4]  # neither
    left[1, 0] = [5, 5]  # five after a long run
    right[2, 0] = [5, 5]  # five that stay
    left[3, 0] = [30, 0]  # thirty at once
    marked, count = abnormal(left, right, images, 1)
    assert marked[:, 0].tolist() == [False, True, True, True]
    assert count[:, 0].tolist() == [4, 5, 5, 0]


def plain_minisets(member: Any, marked: Any, layer: Any) -> set[Any]:
    signatures: dict[Any, set[int]] = {}
    for number in range(member.shape[1]):
        cells = {
            (v, c) for v in range(len(marked)) for c in range(marked.shape[1]) if member[v, number] and marked[v, c]
        }
        if cells:
            signatures.setdefault((layer[number], frozenset(cells)), set()).add(number)
    return {
        (where, cells, frozenset(filters))
        for (where, cells), filters in signatures.items()
        if len(cells) * len(filters) >= 4
    }


@pytest.mark.parametrize("seed", range(20))
def test_cube_faces__agree_with_plain_python_on_random_cases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    passes, filters, classes = 6, 12, 3
    layer = np.sort(rng.integers(0, 3, filters))
    member = rng.random((passes, filters)) < 0.3
    marked = rng.random((passes, classes)) < 0.4
    found = np.argwhere(member)
    got = {(one.layer, frozenset(one.cells), frozenset(one.filters)) for one in minisets(found, marked, layer)}
    assert got == plain_minisets(member, marked, layer)
    expected = [
        [sum(member[marked[:, c]][:, f].any() for f in np.flatnonzero(layer == where)) for c in range(classes)]
        for where in range(3)
    ]
    assert union(found, marked, layer, 3).tolist() == expected
    counts = [[member[v, layer == where].sum() for where in range(3)] for v in range(passes)]
    assert front(found, passes, layer, 3).tolist() == counts


def test_expected_union__is_the_mean_over_all_choices_of_as_many_passes() -> None:
    rng = np.random.default_rng(0)
    passes, layer = 6, np.array([0, 0, 0, 1, 1])
    member = rng.random((passes, 5)) < 0.4
    marked = np.zeros((passes, 3), bool)
    marked[[1, 4], 0] = True
    marked[[0, 2, 3, 5], 1] = True
    got = expected_union(np.argwhere(member), marked, layer, 2)
    for number, m in enumerate((2, 4, 0)):
        sizes = [
            [member[list(chosen)][:, layer == where].any(axis=0).sum() for where in range(2)]
            for chosen in combinations(range(passes), m)
        ]
        np.testing.assert_allclose(got[:, number], np.mean(sizes, axis=0), atol=1e-12)


def test_together__windows_that_share_a_pass_count_it_once() -> None:
    parts = [np.array([[0, 1], [1, 2]]), np.array([[1, 2], [1, 3]]), np.empty((0, 2), int)]
    assert together(parts).tolist() == [[0, 1], [1, 2], [1, 3]]
    assert together([]).shape == (0, 2)


@pytest.fixture
def run() -> MemorySink:
    """40 records, 4 passes; filters 8 and 9 of layer 1 alarm before the second and the last, as class 0 flips."""
    sink = MemorySink()
    simulate(sink, model="tiny", iterations=40, images=40, passes=4, classes=4, anomalies=False)
    passes = sink.dataset(f"validation/{VIEW}")["validation"].values
    records = sink.dataset("filters/dense")["iteration"].values
    filters = len(sink.dataset("architecture")["filter_layer"])
    excess = np.full((40, filters), 0.1, np.float32)
    score = np.full((40, filters), 1.0, np.float32)
    for record in (15, 35):
        excess[record, [8, 9]] = 1.5
        score[record, [8, 9]] = -12.0
    excess[25, 30:34] = 2.0  # before the one pass at which class 1 is abnormal: once is too little to be kept
    signal = np.zeros((40, filters), np.int8)
    lowest = np.full((40, 10), -1, np.int32)
    lowest[15, 0] = 20
    nothing = np.full((40, len(MODEL_SIGNALS)), np.nan)
    level = np.full((40, len(SIGNALS)), 8.0)
    left = np.zeros((4, 4, 4, 2), np.int32)
    left[[1, 3], 0, :2, 1] = 5
    left[2, 1, :2, 0] = 4
    axes: dict[str, Any] = {"iteration": records, "signal": list(SIGNALS), "model_signal": list(MODEL_SIGNALS)}
    tables: dict[str, xr.Dataset] = {
        "anomalies/filters": build(
            "anomalies/filters",
            {"filter_score": score, "filter_signal": signal, "filter_excess": excess},
            {"iteration": records},
        ),
        "anomalies/iterations": build(
            "anomalies/iterations",
            {
                "filter_level": level,
                "layer_level": level,
                "model_score": nothing,
                "model_level": nothing,
                "iteration_score": np.full(40, np.nan),
            },
            axes,
        ),
        "anomalies/lowest_cosine": build(
            "anomalies/lowest_cosine",
            {"filter": lowest, "update_cosine": np.ones((40, 10))},
            {"iteration": records, "rank": np.arange(1, 11)},
        ),
        f"anomalies/validation/{VIEW}/classes": build(
            f"anomalies/validation/{VIEW}/classes",
            {
                "left": left,
                "right": np.zeros_like(left),
                "final": np.ones((4, 4), np.int8),
                "class_score": np.full((4, 4, 2, 3), np.nan),
                "class_level": np.full(4, np.nan),
            },
            {
                "validation": passes,
                "class": [f"class {n}" for n in range(4)],
                "k": np.arange(1, 5),
                "direction": list(DIRECTIONS),
                "rule": list(RULES),
            },
        ),
    }
    with sink.write_stage("anomalies", {}) as writer:
        writer.put_many(tables)
    return sink


def test_cube__joins_filters_with_the_pass_that_follows(run: MemorySink) -> None:
    faces = cube(run, VIEW)
    for group, dataset in faces.items():
        check(dataset, group)
    assert len(faces) == 9
    passes = faces[f"{PATH}/passes"]
    assert passes.abnormal.values.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert passes.kept.values.tolist() == [1, 0, 0, 0]
    front_face = faces[f"{PATH}/front"]
    assert front_face.filters.sel(layer="layer1.0.conv1").values.tolist() == [0, 2, 0, 2]
    assert front_face.score.sel(layer="layer1.0.conv1").values.tolist() == [1.0, 12.0, 1.0, 12.0]
    side = faces[f"{PATH}/side"].sel(layer="layer1.0.conv1", **{"class": "class 0"})
    assert side.union == 2
    np.testing.assert_allclose(side.expected, 2 * (1 - 1 / 6), rtol=1e-6)
    sets = faces[f"{PATH}/minisets"]
    assert (sets.layer.values.tolist(), sets["size"].values.tolist(), sets.cells.values.tolist()) == ([1], [2], [2])
    assert faces[f"{PATH}/miniset_filters"]["filter"].values.tolist() == [8, 9]
    assert faces[f"{PATH}/tolerant_miniset_filters"]["filter"].values.tolist() == [8, 9]
    cells = faces[f"{PATH}/miniset_cells"]
    assert cells.class_index.values.tolist() == [0, 0]
    assert cells.iteration.values.tolist() == run.dataset(f"validation/{VIEW}").validation.values[[1, 3]].tolist()


def test_cube__method_of_the_original_takes_the_lowest_cosines(run: MemorySink) -> None:
    filters = cube(run, VIEW, method="lowest-cosine")[f"{PATH}/front"].filters
    assert filters.sum() == 1
    assert filters.sel(layer="layer1.0.conv2").values.tolist() == [0, 1, 0, 0]


def test_cube__uncalibrated_run_falls_back_to_the_lowest_cosines(run: MemorySink) -> None:
    table = run.dataset("anomalies/iterations")
    run.put("anomalies/iterations", table.assign(filter_level=table.filter_level * np.nan))
    assert cube(run, VIEW)[f"{PATH}/front"].filters.sum() == 1


def test_correlate__writes_the_stage_and_what_it_was_made_from(run: MemorySink) -> None:
    result: Any = correlate(run)  # type: ignore[arg-type]
    assert result.has(f"{PATH}/side")
    assert run.stages["correlation"]["inputs"] == {"anomalies": 1}
    with pytest.raises(InputError, match="choose"):
        correlate(run, method="other")  # type: ignore[arg-type]


def test_correlate__run_without_anomalies_says_so() -> None:
    sink = MemorySink()
    simulate(sink, model="tiny", iterations=5)
    with pytest.raises(LookupError, match="anomalies/events"):
        correlate(sink)  # type: ignore[arg-type]
