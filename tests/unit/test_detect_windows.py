"""The stage "anomalies" is made in pieces: the same bytes for any size of them, and no piece grows with the log."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from deeptracker import Run, analyze, open_run
from deeptracker.detect import answers, blocks
from deeptracker.detect.original import lowest_cosine
from deeptracker.testing import simulate


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Analysed with windows that hold all of it."""
    path = tmp_path_factory.mktemp("whole") / "run"
    simulate(path, model="tiny", iterations=1500, images=90, passes=300, classes=3, seed=4)
    return analyze(path, stages=["index", "anomalies"])


def derived(run: Run) -> dict[tuple[str, str], np.ndarray]:
    groups = [group for group in run.groups if group.startswith("anomalies/")]
    return {(g, str(n)): v.values for g in groups for n, v in run.dataset(g).variables.items()}


def test_anomalies__are_the_same_in_any_blocks_and_windows(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole.path, tmp_path / "run")
    monkeypatch.setattr(blocks, "WINDOW_RECORDS", 256)
    monkeypatch.setattr(blocks, "BLOCK_FILTERS", 10)
    monkeypatch.setattr(answers, "_ROW_BYTES", 1)
    monkeypatch.setattr(answers, "_WINDOW_BYTES", 90 * 9 * 64)
    from deeptracker.store import layout, stage

    monkeypatch.setattr(layout, "SHARD_BYTES", 1)
    monkeypatch.setattr(stage, "shard_rows", lambda size: 16)
    cut = analyze(tmp_path / "run", stages=["anomalies"])
    one, other = derived(whole), derived(cut)
    assert one.keys() == other.keys()
    for key, values in one.items():
        np.testing.assert_array_equal(other[key], values, err_msg=str(key))
    assert len(list(blocks.spans(1500, 16))) == 6
    assert cut.dataset("anomalies/filters", dask=True).filter_score.chunks[0][0] == 16


def test_anomalies__leave_nothing_of_what_tasks_handed_on(whole: Run) -> None:
    assert not list(whole.path.rglob("scratch"))


def test_lowest_cosine__takes_the_first_of_equal_values() -> None:
    rng = np.random.default_rng(0)
    cosine = np.round(rng.random((20, 60)), 1).astype(np.float32)
    cosine[3] = np.nan
    cosine[4, :57] = np.nan
    place, lowest = lowest_cosine(cosine, np.repeat([0, 1, 2, 3], 15))
    values = np.where(np.isnan(cosine[:, 15:45]), np.inf, cosine[:, 15:45])
    order = np.argsort(values, axis=1, kind="stable")[:, :10]
    expected = np.take_along_axis(values, order, 1)
    np.testing.assert_array_equal(place, np.where(np.isfinite(expected), order + 15, -1))
    np.testing.assert_array_equal(lowest, np.where(np.isfinite(expected), expected, np.nan))


def test_runs_are_opened_again_after_the_analysis(whole: Run) -> None:
    assert open_run(whole.path).events().shape[0] > 0
