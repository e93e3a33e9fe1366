"""The real LeNet series, as a whole: 30 epochs of weights and answers that others recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deeptracker.analysis import analyze
from deeptracker.recording import ingest_run
from deeptracker.store import open_run
from deeptracker.view.network.layer_values import LayerValues
from deeptracker.view.pages import layers
from deeptracker.view.places import layers_of

DATA = Path(__file__).parents[3] / "shared" / "data"
SERIES = DATA / "lenet_cifar10_30epochs"
pytestmark = pytest.mark.skipif(not SERIES.is_dir(), reason=f"the real data are not there: {SERIES}")
DROPS = (16, 26)
FORGOTTEN = [2048, 655, 508, 360, 237, 100, 59, 25, 5, 2, 1]
NEVER_LEARNED, UNFORGETTABLE = 126, 1922
"""Images by number of forgetting events, as told with the data: of the logits before they were rounded."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("lenet") / "run"
    ingest_run(SERIES, path)
    return analyze(open_run(path))


@pytest.fixture(scope="module")
def logits() -> dict[str, Any]:
    with np.load(SERIES / "logits_train4000.npz") as file:
        return dict(file)


def test_series__every_layer_updates_three_to_eight_times_less_at_both_drops_of_the_rate(run: Any) -> None:
    table = run.dataset("layers/dense").load()
    assert table["iteration"].values.tolist() == list(range(1, 31))
    size = table["update_norm2"]
    for drop in DROPS:
        fall = (size.sel(iteration=drop - 1) / size.sel(iteration=drop)).values
        assert len(fall) == 5
        assert (fall > 3).all()
        assert (fall < 8).all()


def test_series__update_ratios_of_all_202_filters_are_those_of_the_files(run: Any) -> None:
    def filters(epoch: int) -> list[Any]:
        with np.load(SERIES / f"epoch_{epoch:02}.npz") as file:
            return [file[f"conv{i}.weight"].reshape(len(file[f"conv{i}.weight"]), -1) for i in range(1, 6)]

    found = run.dataset("filters/dense")["update_ratio2"].sel(iteration=16).values
    want = [
        np.linalg.norm(now - old, axis=1) / np.linalg.norm(old, axis=1)
        for old, now in zip(filters(15), filters(16), strict=True)
    ]
    np.testing.assert_allclose(found, np.concatenate(want), rtol=1e-4)


def test_events__the_falls_rank_first_uncalibrated_as_a_likely_change_of_the_rate(run: Any) -> None:
    events = run.event_documents()
    first = events[: len(DROPS)]
    assert sorted(event["iteration"] for event in first) == list(DROPS)
    assert {event["cause"] for event in first} == {"lr-change"}
    assert all(len(event["layers"]) == 5 for event in first)
    assert {event["false_per_1000"] for event in events} == {None}
    assert all(len(event["layers"]) < 5 for event in events[len(DROPS) :])


def test_layer_view__shows_the_falls_as_values_of_every_layer(run: Any) -> None:
    view = layers(run, variable="update_ratio2")  # few records: values, not deviations
    assert "Shown: size of the update relative to the weights" in view.children[0].text
    values = LayerValues(run, "update_ratio2", "value")
    for place in layers_of(run):
        cells = values.cells(place, 1, 31)
        place_of = [round((epoch - cells.grid.left) / cells.grid.width) for epoch in (15, 16, 25, 26)]
        bytes_ = values.scale.encode(cells.values).astype(int)[place_of]
        before, after = bytes_[[0, 2]].mean(1), bytes_[[1, 3]].mean(1)
        assert (before - after > 20).all()  # of 254 shades
        steady = np.abs(np.diff(values.scale.encode(cells.values).astype(int).mean(1)[5:14]))
        assert steady.max() < (before - after).min() / 3


def test_forgetting__equals_a_plain_count_over_the_logits_of_the_file(run: Any, logits: dict[str, Any]) -> None:
    history = run.dataset("index/validation/validation/raw/images").load()
    right = (logits["logits"].argmax(2) == logits["labels"])[:, history["image"].values]
    forgotten = (right[:-1] & ~right[1:]).sum(0)
    np.testing.assert_array_equal(history["forgetting_events"], forgotten)
    np.testing.assert_array_equal(history["unforgettable"] == 1, right.any(0) & (forgotten == 0))
    assert int((history["first_learned"] < 0).sum()) == NEVER_LEARNED


def test_forgetting__differs_from_the_table_only_where_half_precision_made_classes_tie(
    run: Any, logits: dict[str, Any]
) -> None:
    """The file holds float16: 38 answers of 37 images tie between the right class and another, and each of these
    images may have one event more or less than before it was rounded. All other 3,963 are settled."""
    scores, labels = logits["logits"], logits["labels"].astype(int)
    own = np.take_along_axis(scores, np.broadcast_to(labels[None, :, None], (*scores.shape[:2], 1)), 2)[..., 0]
    tied = (own == scores.max(2)) & ((scores == scores.max(2, keepdims=True)).sum(2) > 1)
    assert (int(tied.sum()), int(tied.any(0).sum())) == (38, 37)
    history = run.dataset("index/validation/validation/raw/images").load().sortby("image")
    settled = ~tied.any(0)
    sure = np.bincount(history["forgetting_events"].values[settled], minlength=11)
    ours = np.bincount(history["forgetting_events"].values, minlength=11)
    room = np.array(FORGOTTEN) - sure
    assert (room >= 0).all()
    assert int(room.sum()) == 37
    assert np.abs(ours - FORGOTTEN).max() <= 4
    assert abs(int(history["unforgettable"].sum()) - UNFORGETTABLE) <= 1


def test_event_files__scalars_peak_where_the_real_log_peaks(tmp_path: Path) -> None:
    ingest_run(DATA / "tfevents" / "lenet", tmp_path / "run")
    accuracy = open_run(tmp_path / "run").dataset("scalars")["val_acc"].load()
    assert accuracy.sizes["iteration"] == 180
    assert int(accuracy.idxmax()) == 11
    assert float(accuracy.max()) == pytest.approx(0.5831, abs=5e-5)


def test_event_files__histograms_are_layers_without_filters(tmp_path: Path) -> None:
    ingest_run(DATA / "tfevents" / "alexnet_histograms", tmp_path / "run")
    found = open_run(tmp_path / "run").dataset("layers/dense").load()
    assert found["layer"].values.tolist() == ["conv1", "conv2", "local3", "local4", "softmax_linear"]
    assert found.sizes["iteration"] == 3
    assert np.isfinite(found["w_rms"]).all()
    assert np.isfinite(found["g_rms"]).all()
