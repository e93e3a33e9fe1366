"""Claims of thinned runs: what is gone reads as nothing, what is left as it was, and the run says which is which."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from two_layers import filters, record

from deeptracker import conform
from deeptracker.errors import LockedRunError, RunError
from deeptracker.store import LogWriter, layout, open_run, verify
from deeptracker.store.arrays import row_files
from deeptracker.store.catalogue import bytes_on_disk
from deeptracker.store.space import shard_bytes
from deeptracker.store.spans import Span, Thinned
from deeptracker.store.thinning import delete_shards

GROUP = "filters/dense"
SPANS = [Span(0, 32, 10), Span(64, 80, 5)]
GONE = np.r_[0:32, 64:80]
LEFT = np.setdiff1d(np.arange(300), GONE)
EXPECTED = np.arange(8)[None] + 10.0 * np.arange(300)[:, None]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "SHARD_ROWS", (16, 16))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SHARD_ROWS", (16, 16))
        record(path)
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    row_files.cache_clear()
    copy: Path = shutil.copytree(whole, tmp_path / "run")
    return copy


def test_thinned_rows__read_as_nothing_and_all_others_as_before(path: Path) -> None:
    run = delete_shards(open_run(path), {GROUP: SPANS})
    for data in (run.dataset(GROUP), run.filters):
        assert np.isnan(data["w_rms"].values[GONE]).all()
        assert (data["nonfinite"].values[GONE] == -1).all()
        np.testing.assert_array_equal(data["w_rms"].values[LEFT], EXPECTED[LEFT])
    assert not (path / "log.zarr/filters/dense/w_rms/c/4").exists()


def test_thinned_rows__keep_their_iteration_and_steps(path: Path) -> None:
    data = delete_shards(open_run(path), {GROUP: SPANS}).dataset(GROUP)
    np.testing.assert_array_equal(data["iteration"], np.arange(300))
    np.testing.assert_array_equal(data["steps"], np.ones(300))


@pytest.mark.parametrize(
    "rows",
    [slice(None), slice(20, 70), slice(1, 299, 7), 5, 40, [0, 31, 32, 63, 64, 79, 80, 299], slice(250, 20, -3)],
)
@pytest.mark.parametrize("columns", [slice(None), 3, [1, 5], slice(2, 7, 2)])
def test_any_selection__of_a_thinned_run_is_that_of_numpy(path: Path, rows: object, columns: object) -> None:
    expected = EXPECTED.astype(np.float32)
    expected[GONE] = np.nan
    data = delete_shards(open_run(path), {GROUP: SPANS}).dataset(GROUP)["w_rms"]
    got = data.isel(iteration=rows, filter=columns)
    np.testing.assert_array_equal(got, expected[rows][..., columns])  # type: ignore[index]


def test_thinned_run__is_plain_zarr_with_nan(path: Path) -> None:
    delete_shards(open_run(path), {GROUP: SPANS})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no consolidated metadata
        plain = xr.open_zarr(path / "log.zarr", group=GROUP)
    assert np.isnan(plain["w_rms"].values[GONE]).all()
    np.testing.assert_array_equal(plain["w_rms"].values[LEFT], EXPECTED[LEFT])


def test_run__tells_what_was_thinned(path: Path) -> None:
    assert open_run(path).thinned.empty
    run = delete_shards(open_run(path), {GROUP: SPANS})
    table = run.thinned
    assert table[["group", "first", "last", "rows", "bytes"]].values.tolist() == [
        [GROUP, 0, 31, 32, 10],
        [GROUP, 64, 79, 16, 5],
    ]
    run = delete_shards(run, {GROUP: [Span(32, 64, 7)]})
    assert run.thinned.values.tolist() == [[GROUP, 0, 79, 80, 22]]


def test_bytes__are_those_of_the_files(path: Path) -> None:
    run = open_run(path)
    before, sizes = run.bytes_by_group(), shard_bytes(path, run.commit, GROUP)
    assert sum(before.values()) == bytes_on_disk(path)
    assert before[GROUP] == bytes_on_disk(path / "log.zarr/filters/dense")
    assert len(sizes) == 300 // 16
    assert sizes.min() > 0
    after = delete_shards(run, {GROUP: SPANS}).bytes_by_group()
    assert before[GROUP] - after[GROUP] == sizes[[0, 1, 4]].sum()
    assert {k: v for k, v in before.items() if k not in (GROUP, "other")} == {
        k: v for k, v in after.items() if k not in (GROUP, "other")
    }


def test_verify__takes_thinned_shards_for_what_they_are_and_still_misses_others(path: Path) -> None:
    delete_shards(open_run(path), {GROUP: SPANS})
    assert verify(path) == []
    shutil.rmtree(path / "log.zarr/filters/dense/w_rms/c/3")
    found = verify(path)
    assert [(f.group, f.variable, f.rows, f.problem) for f in found] == [
        (GROUP, "w_rms", (48, 64), "a file is missing")
    ]


def test_reader_from_before__is_told_to_refresh_and_reads_what_is_left(path: Path) -> None:
    old = open_run(path)
    data = old.dataset(GROUP)["w_rms"]
    delete_shards(old, {GROUP: SPANS})
    np.testing.assert_array_equal(data[32:64], EXPECTED[32:64])
    with pytest.raises(RunError, match="thinned since the run was opened"):
        data[20:40].load()
    assert np.isnan(old.refresh().dataset(GROUP)["w_rms"][20:32]).all()


def test_reader_from_before__never_takes_a_file_that_vanishes_for_nan(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_run(path)
    data = old.dataset(GROUP)["w_rms"]
    # Files are looked for, then read: between the two they may go, and Zarr gives fill values then.
    monkeypatch.setattr("deeptracker.store.arrays.RowFiles._check_present", lambda *_: None)
    delete_shards(old, {GROUP: SPANS})
    with pytest.raises(RunError, match="thinned"):
        data[0:16].load()


def test_dask__tokens_change_with_what_is_thinned(path: Path) -> None:
    before = open_run(path).filters["w_rms"].data.name
    assert delete_shards(open_run(path), {GROUP: SPANS}).filters["w_rms"].data.name != before


def test_recording__refuses_the_thinning(path: Path) -> None:
    with LogWriter(path, background=False), pytest.raises(LockedRunError):
        delete_shards(open_run(path), {GROUP: SPANS})
    assert open_run(path).thinned.empty


def test_cut__in_a_thinned_shard_begins_it_anew(path: Path) -> None:
    delete_shards(open_run(path), {GROUP: SPANS})
    with LogWriter(path, background=False) as writer:
        writer.cut(70)
        for i in range(70, 200):
            writer.append(GROUP, i, filters(i + 1000))
    run = open_run(path)
    expected = EXPECTED[:200].astype(np.float32)
    expected[70:] += 10_000
    expected[np.r_[0:32, 64:70]] = np.nan
    np.testing.assert_array_equal(run.dataset(GROUP)["w_rms"], expected)
    assert verify(path) == []
    assert run.commit.groups[GROUP].thinned == Thinned((Span(0, 32, 10), Span(64, 70, 5)), renewed=70)


@pytest.mark.parametrize("rows", [65, 70, 79, 80, 81])
@pytest.mark.parametrize("more", [0, 3])
def test_cut__in_a_thinned_shard_is_no_damage(path: Path, rows: int, more: int) -> None:
    delete_shards(open_run(path), {GROUP: SPANS})
    with LogWriter(path) as writer:
        writer.cut(rows)
        for step in range(rows, rows + more):
            writer.append(GROUP, step, filters(step))
    assert verify(path) == []


def test_cut__before_all_that_is_thinned_forgets_it(path: Path) -> None:
    delete_shards(open_run(path), {GROUP: [Span(64, 80)]})
    with LogWriter(path, background=False) as writer:
        writer.cut(40)
        for i in range(40, 100):
            writer.append(GROUP, i, filters(i))
    assert open_run(path).thinned.empty
    np.testing.assert_array_equal(open_run(path).dataset(GROUP)["w_rms"], EXPECTED[:100])
    assert verify(path) == []


def test_thinning__of_a_run_that_was_cut_back_meanwhile_is_refused(path: Path) -> None:
    old = open_run(path)
    with LogWriter(path, background=False) as writer:
        writer.cut(200)
    with pytest.raises(RunError, match="cut back"):
        delete_shards(old, {GROUP: SPANS})


def _event_stage(path: Path) -> None:
    texts = [json.dumps({"rank": 1, "kind": "anomaly", "iteration": 1})]
    numbers = dict.fromkeys(("rank", "iteration"), np.ones(1, int))
    events = conform.build("anomalies/events", {"document": texts, **numbers})
    with open_run(path).write_stage("anomalies", {}) as writer:
        writer.put("anomalies/events", events)


def test_stage__that_was_up_to_date_is_so_after_the_thinning(path: Path) -> None:
    _event_stage(path)
    run = delete_shards(open_run(path), {GROUP: SPANS})
    assert run.stages["anomalies"]["generation"] == run.generation


def test_repair__keeps_what_alone_knows_of_thinned_rows(path: Path) -> None:
    _event_stage(path)
    delete_shards(open_run(path), {GROUP: SPANS})
    (path / "log.zarr/anomalies/1/events/rank/c/0").unlink()
    (found,) = verify(path, repair=True)
    assert not found.repaired
    assert "restore it from a copy" in str(found)
    assert open_run(path).has("anomalies/events")
