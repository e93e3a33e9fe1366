"""Claims of reading: labels, laziness, plain Zarr, wrong paths, catalogue."""

import json
import pickle
import shutil

import numpy as np
import pytest
import xarray as xr
from two_layers import filters, record

from deeptracker.errors import DamagedRunError, MissingGroupError, NewerRunError, NotARunError
from deeptracker.schema import group_of
from deeptracker.store import LogWriter, list_runs, open_run, verify
from deeptracker.store.arrays import RowFiles, row_files


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "closed"
    record(path)
    return path


@pytest.fixture
def copy(closed, tmp_path):
    row_files.cache_clear()
    return shutil.copytree(closed, tmp_path / "copy")


def test_open_run__takes_the_hierarchy_for_the_run(closed):
    assert open_run(closed / "log.zarr").path == closed


def test_filters__are_selected_by_layer_and_channel(closed):
    data = open_run(closed).filters["w_rms"]
    np.testing.assert_array_equal(data.sel(layer="fc", channel=2), np.arange(300) * 10 + 7)
    assert data.sel(layer="conv").sizes == {"iteration": 300, "channel": 5}
    assert list(open_run(closed).filters["block"].values[[0, -1]]) == ["b0", "b1"]
    assert data.attrs["units"] == "1"


def test_dataset__reads_nothing_but_coordinates(closed, monkeypatch):
    run, touched = open_run(closed), set()
    read = RowFiles.read

    def noted(files, rows, rest):
        touched.add(files.folder.name)
        return read(files, rows, rest)

    monkeypatch.setattr(RowFiles, "read", noted)
    assert run.dataset("filters/dense")["w_rms"].shape == (300, 8)
    assert run.filters["w_rms"].mean("iteration").shape == (8,)
    assert "iteration" in touched
    assert not touched & {v.name for v in group_of("filters/dense").variables}


def test_dask__chunks_are_whole_shards(tmp_path):
    with LogWriter(tmp_path / "run", background=False) as writer:
        for i in range(600):
            answers = {"predicted": np.zeros(20_000, np.int16), "correct": np.zeros(20_000, np.int8)}
            writer.append("validation/test/raw", i, {**answers, "loss": np.zeros(20_000, np.float16)})
    data = open_run(tmp_path / "run").dataset("validation/test/raw", dask=True)["predicted"]
    assert data.chunks == ((64,) * 9 + (24,), (20_000,))
    files = row_files(tmp_path / "run/log.zarr/validation/test/raw/predicted", "test")
    assert files.file_rows == 64


def test_dask__tokens_are_the_same_for_the_same_commit(closed):
    first, again = (open_run(closed).filters["w_rms"] for _ in range(2))
    assert first.data.name == again.data.name
    assert first.data.name != open_run(closed).filters["w_std"].data.name


def test_run__pickles_with_its_datasets(closed):
    run = open_run(closed)
    for lazy in (run.filters, run.dataset("filters/dense"), run.architecture):
        xr.testing.assert_identical(pickle.loads(pickle.dumps(lazy)).compute(), lazy.compute())
    assert pickle.loads(pickle.dumps(run)) == run
    assert len(pickle.dumps(run)) < 20_000


def test_closed_run__is_plain_zarr(closed):
    for group in ("filters/dense", "scalars", "architecture"):
        plain = xr.open_zarr(closed / "log.zarr", group=group, consolidated=False)
        ours = open_run(closed).dataset(group)
        for name in ours.data_vars:
            assert plain[name].dims == ours[name].dims
            assert (plain[name].values == ours[name].values).all()


def test_live_run__reads_the_same_before_and_after_rows_move(tmp_path):
    writer = record(tmp_path / "run", rows=40, close=False)
    before = open_run(tmp_path / "run").dataset("filters/dense")
    writer.close()
    np.testing.assert_array_equal(before["w_rms"], [filters(i)["w_rms"] for i in range(40)])
    assert not list((tmp_path / "run" / "tail").iterdir())


def test_tree__holds_every_group(closed):
    tree = open_run(closed).tree
    assert set(open_run(closed).groups) == {"architecture", "filters/dense", "scalars"}
    assert tree["filters/dense"]["w_rms"].shape == (300, 8)
    assert tree.attrs["model"] == "TwoLayers"


@pytest.mark.parametrize(
    ("read", "names"),
    [
        (lambda run: run.validation, "recorder.validate"),
        (lambda run: run.images, "recorder.images"),
        (lambda run: run.events(), "deeptracker analyze"),
        (lambda run: run.layers, "recorder.step"),
        (lambda run: run.dataset("nonsense"), "it holds architecture"),
    ],
)
def test_missing_group__names_what_makes_it(closed, read, names):
    with pytest.raises(MissingGroupError, match=names):
        read(open_run(closed))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "empty folder"),
        (lambda path: path.write_text("x"), "is a file"),
        (lambda path: (path / "other").mkdir(parents=True), "not a run"),
        (lambda path: (path / "log.zarr").mkdir(parents=True), "nothing in it was committed"),
        (lambda path: record(path / "inner", rows=1), "folder of runs"),
    ],
)
def test_open_run__says_why_a_path_is_no_run(tmp_path, make, names):
    make(tmp_path / "path")
    with pytest.raises(NotARunError, match=names):
        open_run(tmp_path / "path")


def test_open_run__of_a_newer_version_asks_for_an_upgrade(copy):
    marker = copy / "commit.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "schema_version": 99}))
    with pytest.raises(NewerRunError, match="upgrade"):
        open_run(copy)


def test_open_run__of_a_torn_marker_is_one_line(copy):
    (copy / "commit.json").write_bytes((copy / "commit.json").read_bytes()[:50])
    with pytest.raises(DamagedRunError, match="cannot be understood"):
        open_run(copy)


def test_list_runs__has_one_row_a_run(tmp_path):
    record(tmp_path / "b", rows=3)
    live = record(tmp_path / "a", rows=2, close=False)
    (tmp_path / "notes").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c/commit.json").write_text("{")
    found = list_runs(tmp_path).set_index("name")
    assert list(found.index) == ["a", "b", "c"]
    assert found.loc[["a", "b"], "state"].tolist() == ["live", "closed"]
    assert found.loc[["a", "b"], "iterations"].tolist() == [2, 3]
    assert "cannot be understood" in found.loc["c", "state"]
    live.close()
    assert list_runs(tmp_path / "notes").empty
    with pytest.raises(NotARunError, match="not a folder"):
        list_runs(tmp_path / "nowhere")


def test_copy__that_was_deleted_and_made_anew_is_read_as_it_is_now(closed, tmp_path):
    path = tmp_path / "fork"
    for rows in (7, 23, 11):  # the same run in the marker, other rows in files of the same names
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(closed, path)
        with LogWriter(path) as writer:
            for step in range(300, 300 + rows):
                writer.append("filters/dense", step, filters(step + rows))
        run = open_run(path)
        assert run.dataset("filters/dense").sizes["iteration"] == 300 + rows
        found = run.filters["w_rms"].sel(layer="fc", channel=2).values[300:]
        np.testing.assert_array_equal(found, (np.arange(300, 300 + rows) + rows) * 10 + 7)


@pytest.mark.parametrize("other", ["architecture/edges", "filters/dense/iteration"])
def test_verify__of_the_metadata_of_another_array_names_them_and_repair_writes_them_again(copy, other):
    before = open_run(copy).dataset("filters/dense").load()
    metadata = copy / "log.zarr/filters/dense/w_rms/zarr.json"
    shutil.copy(copy / "log.zarr" / other / "zarr.json", metadata)
    row_files.cache_clear()
    (found,) = verify(copy)
    assert (found.group, found.variable, found.problem[:9]) == ("filters/dense", "w_rms", "metadata:")
    assert [one.repaired for one in verify(copy, repair=True)] == [True]
    assert verify(copy) == []
    xr.testing.assert_identical(open_run(copy).dataset("filters/dense").load(), before)
