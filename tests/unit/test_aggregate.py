"""Aggregation on small runs, against plain NumPy."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from dask.order import order

from deeptracker.aggregate import alone, index_training, index_view, windows
from deeptracker.aggregate.classes import arrange, class_order, clusters, standardised_error
from deeptracker.aggregate.distributions import index_distributions
from deeptracker.aggregate.jobs import file_records
from deeptracker.aggregate.pyramid import bin_sizes
from deeptracker.aggregate.quantiles import QUANTILES, layer_quantiles
from deeptracker.aggregate.windows import Source
from deeptracker.conform import check
from deeptracker.testing import MemorySink, MemoryStage, simulate

VIEW = "validation/raw"


@pytest.fixture(scope="module")
def run() -> MemorySink:
    sink = MemorySink()
    simulate(sink, model="tiny", iterations=1100, images=60, passes=30, classes=5, seed=1)
    return sink


@pytest.fixture(scope="module")
def index(run: MemorySink) -> dict[str, Any]:
    stage = MemoryStage("index")
    with every_level():
        alone(index_training, run, stage)
    return dict(stage.datasets)


@contextmanager
def every_level() -> Iterator[None]:
    """Also the levels that a run as short as the tests' would do without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deeptracker.aggregate.pyramid.LEAST_BINS", 1)
        yield


def test_levels__are_those_that_a_screen_could_read() -> None:
    assert bin_sizes(100) == (8,)
    assert bin_sizes(2048) == (8, 64)
    assert bin_sizes(20_000) == (8, 64, 512)


def test_index_training__gives_every_group_as_the_schema_says(index: dict[str, Any]) -> None:
    levels = {f"index/{one}s_{size}" for one in ("filter", "layer", "block", "stage") for size in (8, 64, 512)}
    assert levels | {"index/blocks", "index/stages", "index/model", "index/layer_quantiles"} == set(index)
    for group, dataset in index.items():
        check(dataset, group)


@pytest.mark.parametrize("size", [8, 64, 512])
def test_pyramid__is_min_mean_max_of_the_records_of_each_bin(
    run: MemorySink, index: dict[str, Any], size: int
) -> None:
    values = run.dataset("filters/dense").update_norm2.values
    got = index[f"index/filters_{size}"].update_norm2
    for number, start in enumerate(range(0, len(values), size)):
        part = values[start : start + size].astype(np.float64)
        np.testing.assert_array_equal(got[number, 0], np.nanmin(part, axis=0))
        np.testing.assert_allclose(got[number, 1], np.nanmean(part, axis=0), rtol=1e-6)
        np.testing.assert_array_equal(got[number, 2], np.nanmax(part, axis=0))
    assert len(got) == -(-len(values) // size)


def test_pyramid__last_bin_is_partial_and_says_so(index: dict[str, Any]) -> None:
    bins = index["index/layers_512"]
    assert bins.iteration_bin.values.tolist() == [0, 512, 1024]
    assert bins["last"].values.tolist() == [511, 1023, 1099]
    assert bins["records"].values.tolist() == [512, 512, 76]


def test_levels__model_norm_is_that_of_all_layers(run: MemorySink, index: dict[str, Any]) -> None:
    layers, model = run.dataset("layers/dense"), index["index/model"]
    np.testing.assert_allclose(
        model.w_norm2, np.sqrt((layers.w_norm2.values.astype(np.float64) ** 2).sum(axis=1)), rtol=1e-6
    )
    np.testing.assert_array_equal(model.g_max, layers.g_max.max("layer"))
    assert np.isnan(model.update_angle.values[0])
    assert (model.update_angle.values[1:] > 0).all()


def test_levels__block_of_one_layer_equals_the_layer(run: MemorySink, index: dict[str, Any]) -> None:
    layer, block = run.dataset("layers/dense").sel(layer="fc"), index["index/blocks"].sel(block="fc")
    for name in layer.data_vars:
        np.testing.assert_allclose(block[name], layer[name], rtol=2e-4, atol=2e-6, err_msg=str(name))


def test_layer_quantiles__agree_with_numpy_and_skip_nan() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((7, 9)).astype(np.float32)
    values[0, :3] = np.nan
    values[1, 4] = np.nan
    got = layer_quantiles(values, np.array([0, 3, 8]), np.array([3, 5, 1]))
    assert np.isnan(got[0, 0]).all()
    for layer, part in enumerate((values[:, :3], values[:, 3:8], values[:, 8:])):
        for row in range(7):
            kept = part[row][~np.isnan(part[row])]
            if kept.size:
                np.testing.assert_allclose(got[row, layer], np.quantile(kept, QUANTILES), rtol=1e-6)


def test_files__hold_the_same_records_however_long_the_run_and_whole_bins() -> None:
    assert file_records(27_560 * 4) == 512  # one largest bin is 56 MB already
    assert file_records(161 * 4) == 4096
    assert file_records(4) == 64 * 512


def test_windows__are_whole_shards_and_whole_bins(run: MemorySink) -> None:
    spans = windows(Source(run, "layers/dense"), "iteration", multiple=512)
    assert spans == [(0, 512), (512, 1024), (1024, 1100)]


def test_index__reports_progress_up_to_one(run: MemorySink) -> None:
    seen: list[tuple[str, float]] = []
    stage = MemoryStage("index")
    alone(index_training, run, stage, what="index", progress=lambda what, share: seen.append((what, share)))
    assert {what for what, _ in seen} == {"index"}
    assert seen[-1] == ("index", 1.0)
    assert len(seen) > 6
    assert all(0 <= share <= 1 for _, share in seen)


def test_index_view__gives_every_group_as_the_schema_says(run: MemorySink) -> None:
    with every_level():
        tables = alone(index_view, run, VIEW)
    assert set(tables) == {
        f"index/validation/{VIEW}/{name}" for name in ("all", "carry", "classes", "classes_8", "clusters", "images")
    }
    for group, dataset in tables.items():
        check(dataset, group)


def test_index_view__counts_agree_with_numpy(run: MemorySink) -> None:
    tables = alone(index_view, run, VIEW)
    answers, target = run.dataset(f"validation/{VIEW}"), run.dataset("images/validation").target.values
    classes, everything = tables[f"index/validation/{VIEW}/classes"], tables[f"index/validation/{VIEW}/all"]
    correct, loss = answers.correct.values, answers.loss.values.astype(np.float64)
    for number in range(5):
        mine = correct[:, target == number]
        np.testing.assert_allclose(classes.accuracy[:, number], mine.mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(classes.loss[:, number], loss[:, target == number].mean(axis=1), rtol=1e-6)
        for event, (a, b) in enumerate(((0, 1), (1, 0), (1, 1), (0, 0))):
            expected = ((mine[:-1] == a) & (mine[1:] == b)).sum(axis=1)
            np.testing.assert_array_equal(classes.event_counts[1:, number, event], expected)
    assert (everything.event_counts[0] == -1).all()
    np.testing.assert_array_equal(everything.event_counts[1:], classes.event_counts[1:].sum("class"))
    clusters_table = tables[f"index/validation/{VIEW}/clusters"]
    np.testing.assert_array_equal(clusters_table.evaluated.sum("cluster"), everything.evaluated)
    np.testing.assert_array_equal(clusters_table.event_counts[1:].sum("cluster"), everything.event_counts[1:])


def _answers(correct: Any) -> MemorySink:
    sink = MemorySink()
    values = np.array(correct, np.int8)
    sink.coordinates(f"validation/{VIEW}", {"image": np.arange(values.shape[1])})
    for number, row in enumerate(values):
        loss = np.where(row < 0, np.nan, 0.5).astype(np.float16)
        row_of = {"predicted": np.full(len(row), -1, np.int16), "correct": row, "loss": loss}
        sink.append(f"validation/{VIEW}", number, row_of)
    return sink


def test_events__a_pass_without_an_answer_neither_breaks_nor_extends_a_run() -> None:
    tables = alone(index_view, _answers([[1], [-1], [0], [-1], [-1], [1], [1]]), VIEW)
    events = tables[f"index/validation/{VIEW}/all"].event_counts.values
    assert events.tolist() == [[-1] * 4, [0] * 4, [0, 1, 0, 0], [0] * 4, [0] * 4, [1, 0, 0, 0], [0, 0, 1, 0]]


def test_images__history_in_single_numbers() -> None:
    tables = alone(index_view, _answers([[0, 1, -1, 0], [1, 1, -1, 0], [0, 1, -1, 0], [1, 1, -1, 0]]), VIEW)
    images = tables[f"index/validation/{VIEW}/images"]
    assert images.forgetting_events.values.tolist() == [1, 0, 0, 0]
    assert images.first_learned.values.tolist() == [1, 0, -1, -1]
    assert images.unforgettable.values.tolist() == [0, 1, 0, 0]
    np.testing.assert_array_equal(images.correctness, [0.5, 1, np.nan, 0])
    np.testing.assert_allclose(images.confidence_mean, [np.exp(-0.5)] * 2 + [np.nan, np.exp(-0.5)])
    np.testing.assert_allclose(images.confidence_std, [0, 0, np.nan, 0], atol=1e-9)
    assert images.order.values.tolist() == [1, 0, 3, 2]


def test_index_view__without_classes_has_no_class_tables() -> None:
    tables = alone(index_view, _answers([[0, 1], [1, 1]]), VIEW)
    assert set(tables) == {f"index/validation/{VIEW}/{name}" for name in ("all", "carry", "images")}


def test_clusters__classes_with_the_same_history_share_one_and_the_easiest_is_first() -> None:
    rng = np.random.default_rng(0)
    base = np.stack([np.linspace(0.9, 0.95, 20), np.linspace(0.1, 0.9, 20), np.full(20, 0.2), np.full(20, 0.5)])
    accuracy = np.repeat(base, 3, axis=0).T + rng.normal(0, 0.005, (20, 12))
    found, places = arrange(accuracy)
    assert len(set(found.tolist())) == 4
    assert all(len(set(found[at : at + 3].tolist())) == 1 for at in (0, 3, 6, 9))
    assert found[0] == 0
    assert sorted(places.tolist()) == list(range(12))


def test_clusters__of_identical_classes_is_one() -> None:
    found, places = arrange(np.full((5, 3), 0.5))
    assert found.tolist() == [0, 0, 0]
    assert sorted(places.tolist()) == [0, 1, 2]


@pytest.mark.parametrize(("passes", "classes"), [(8, 30), (400, 30), (700, 6)])
def test_arrange__is_that_of_the_histories_themselves(passes: int, classes: int) -> None:
    rng = np.random.default_rng(1)
    accuracy = rng.normal(0.5, 0.02, (passes, classes)) + np.linspace(0, 0.3, passes)[:, None] * rng.integers(
        0, 4, classes
    )
    accuracy[passes // 2, 1] = np.nan
    series = standardised_error(accuracy)
    found, places = arrange(accuracy)
    assert found.tolist() == clusters(np.ascontiguousarray(series.T), series.sum(axis=0)).tolist()
    assert places.tolist() == class_order(np.ascontiguousarray(series.T), series.sum(axis=0)).tolist()


def test_arrange__holds_no_more_for_ten_times_the_passes() -> None:
    held = []
    for passes in (2_000, 20_000):
        accuracy = np.random.default_rng(2).random((passes, 50), np.float32)
        arrange(accuracy)
        tracemalloc.start()
        arrange(accuracy)
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert held[1] < 1.1 * held[0], held


def test_distributions__of_the_model_are_the_sum_of_its_layers(run: MemorySink) -> None:
    found, layers = alone(index_distributions, run), run.dataset("layers/full")
    for path, table in found.items():
        check(table, path)
    model, blocks = found["index/model_distributions"], found["index/block_distributions"]
    np.testing.assert_array_equal(model["w_hist"], layers["w_hist"].sum("layer"))
    np.testing.assert_array_equal(blocks["g_hist"].sum("block"), layers["g_hist"].sum("layer"))
    assert (model["w_q1"] < model["w_median"]).all()
    assert (model["w_median"] < model["w_q3"]).all()


def test_distributions__of_a_run_without_the_full_schedule_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = MemorySink()
    simulate(sink, model="tiny", iterations=3)
    assert alone(index_distributions, sink)
    monkeypatch.setattr(sink, "has", lambda group: group != "layers/full")
    assert alone(index_distributions, sink) == {}


class _Taken:
    """A batch that computes nothing."""

    tasks: list[Any]

    def add(self, tasks: list[Any], then: Any) -> None:
        self.tasks = tasks


def test_index_view__holds_few_windows_however_many_passes(run: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    def most_held(count: int) -> int:
        spans = [(number % 30, number % 30 + 1) for number in range(count)]
        monkeypatch.setattr("deeptracker.aggregate.validation.view_windows", lambda *_: spans)
        batch: Any = _Taken()
        index_view(batch, run, VIEW)
        graph = {key: task for one in batch.tasks for key, task in one.__dask_graph__().items()}
        places = order(graph)
        steps = [str(key).split("-")[0] for key in sorted(places, key=lambda key: places[key])]
        held = np.cumsum([(step == "_window") - (step == "_with") for step in steps])
        assert held[-1] == 0
        return int(held.max())

    assert most_held(400) == most_held(100) < 40  # not yet in the history of images
