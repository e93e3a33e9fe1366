"""Claims of reading: labels, laziness, damage, stages, catalogue."""

import json
import pickle
import shutil

import dask.array
import numpy as np
import pytest
import xarray as xr

from deeptracker import conform
from deeptracker.errors import DamagedRunError, InputError, MissingGroupError, NewerRunError, NotARunError
from deeptracker.schema import group_of
from deeptracker.store import LogWriter, list_runs, open_run, tail, verify
from deeptracker.store.arrays import RowFiles, row_files

NAMES = ("conv", "fc")
CHANNELS = (5, 3)


def architecture() -> xr.Dataset:
    texts = {name: ["x", "y"] for name in ("type", "kernel", "stride", "normalisation", "activation")}
    numbers = dict.fromkeys(("parameters", "first_filter", "filters", "lr_group"), np.zeros(2, int))
    arrays = {
        **texts,
        **numbers,
        "block": ["b0", "b1"],
        "stage": ["s", "s"],
        "init_norm2": np.ones(2),
        "filter_layer": np.repeat([0, 1], CHANNELS),
        "filter_channel": np.concatenate([np.arange(n) for n in CHANNELS]),
        "edges": np.array([[0, 1]]),
    }
    return conform.build("architecture", arrays, {"layer": list(NAMES)})


def filters(iteration: int) -> dict[str, np.ndarray]:
    declared = group_of("filters/dense").variables
    values = np.arange(8) + 10 * iteration
    return {v.name: np.asarray(values if len(v.dims) > 1 else 1, v.dtype) for v in declared}


def record(path, rows=300, close=True):
    writer = LogWriter(path, background=False)
    writer.put("architecture", architecture())
    writer.describe({"model": "TwoLayers"})
    writer.coordinates("scalars", {"param_group": np.arange(2)})
    for i in range(rows):
        writer.append("filters/dense", i, filters(i))
        writer.append("scalars", i, {"loss": float(i), "learning_rate": np.array([0.1, i])})
    writer.flush()
    if close:
        writer.close()
    return writer


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


def flip(path, at=None):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3 if at is None else at] ^= 8
    path.write_bytes(raw)


@pytest.mark.parametrize("take", [slice(None), slice(10, 20), slice(0, 300, 7), 5])
def test_flipped_bit__never_reads_as_a_number(copy, take):
    data = open_run(copy).dataset("filters/dense")
    flip(copy / "log.zarr/filters/dense/w_rms/c/0/0", at=120)
    with pytest.raises(DamagedRunError, match="filters/dense/w_rms"):
        data["w_rms"][take].load()
    data["w_std"].load()


def test_missing_file__never_reads_as_fill_values(copy):
    data = open_run(copy).dataset("filters/dense")
    (copy / "log.zarr/filters/dense/w_rms/c/0/0").unlink()
    with pytest.raises(DamagedRunError, match="filters/dense/w_rms"):
        data["w_rms"].load()


def test_flipped_bit_of_the_tail__never_reads_as_a_number(tmp_path):
    record(tmp_path / "run", rows=20, close=False)
    (file,) = (tmp_path / "run/tail").iterdir()
    flip(file, at=-2000)
    tail.forget()
    run = open_run(tmp_path / "run")
    with pytest.raises(DamagedRunError, match="is damaged"):
        run.tree.load()


def test_verify__names_group_variable_and_rows(copy):
    assert verify(copy) == []
    flip(copy / "log.zarr/filters/dense/w_rms/c/0/0", at=120)
    flip(copy / "log.zarr/architecture/parameters/c/0")
    found = verify(copy)
    assert [(f.group, f.variable) for f in found] == [("filters/dense", "w_rms"), ("architecture", "parameters")]
    assert found[0].rows == (0, 300)
    assert "filters/dense/w_rms, rows 0 to 299" in str(found[0])


def events(*documents):
    ranks = np.array([d["rank"] for d in documents])
    texts = [json.dumps(d) for d in documents]
    return conform.build("anomalies/events", {"document": texts, "rank": ranks, "iteration": ranks})


def test_verify_repair__drops_derived_stages_and_leaves_what_was_recorded(copy):
    with open_run(copy).write_stage("anomalies", {}) as writer:
        writer.put("anomalies/events", events({"rank": 1, "kind": "anomaly"}))
    flip(copy / "log.zarr/anomalies/1/events/rank/c/0")
    flip(copy / "log.zarr/filters/dense/w_rms/c/0/0", at=120)
    (copy / "tail").mkdir(exist_ok=True)
    (copy / "tail/000000099.tail").write_bytes(b"torn")
    assert [f.repaired for f in verify(copy, repair=True)] == [False, True]
    assert not open_run(copy).has("anomalies/events")
    assert not list((copy / "tail").iterdir())
    assert len(verify(copy)) == 1


def test_stage__replaces_the_old_result_on_success_only(copy):
    run = open_run(copy)
    with run.write_stage("anomalies", {"parameters": {"k": 3}}) as writer:
        writer.put("anomalies/events", events({"rank": 1, "kind": "anomaly"}))
    first = run.refresh()

    def fail():
        with run.write_stage("anomalies", {}) as writer:
            writer.put("anomalies/events", events({"rank": 7, "kind": "anomaly"}))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert run.refresh().events()["rank"].tolist() == [1]
    assert first.stages["anomalies"]["parameters"] == {"k": 3}
    assert first.stages["anomalies"]["generation"] == run.generation
    with run.write_stage("anomalies", {}) as writer:
        writer.put("anomalies/events", events({"rank": 2, "kind": "anomaly"}))
    assert run.refresh().events()["rank"].tolist() == [2]
    assert [child.name for child in (copy / "log.zarr/anomalies").iterdir() if child.is_dir()] == ["2"]


def test_events__come_ranked_with_labels_last(copy):
    with open_run(copy).write_stage("anomalies", {}) as writer:
        documents = ({"rank": None, "kind": "label"}, {"rank": 2, "kind": "anomaly"}, {"rank": 1, "kind": "anomaly"})
        ranks = {"rank": np.array([-1, 2, 1]), "iteration": np.arange(3)}
        texts = [json.dumps(d) for d in documents]
        writer.put("anomalies/events", conform.build("anomalies/events", {"document": texts, **ranks}))
    assert [d["rank"] for d in open_run(copy).event_documents()] == [1, 2, None]


def test_stage__computes_dask_arrays_into_whole_files(copy, monkeypatch):
    store, chunks = dask.array.store, []

    def noted(sources, targets, **options):
        chunks.extend(source.chunks for source in sources)
        return store(sources, targets, **options)

    monkeypatch.setattr(dask.array, "store", noted)
    run = open_run(copy)
    declared = group_of("anomalies/filters").variables
    source = run.filters["w_rms"].reset_index("filter", drop=True).chunk({"iteration": 7})
    layers = source.data.astype("float32")
    with run.write_stage("anomalies", {}) as writer:
        scores = {v.name: layers if v.dtype == "float32" else layers.astype(v.dtype) for v in declared}
        writer.put("anomalies/filters", conform.build("anomalies/filters", scores, {"iteration": np.arange(300)}))
    # 300 rows make less than one shard: two tasks in one file would overwrite each other.
    assert set(chunks) == {((300,), (8,))}
    stored = run.refresh().dataset("anomalies/filters")
    np.testing.assert_array_equal(stored["filter_score"], source)
    assert stored["filter_score"].sel(layer="fc").shape == (300, 3)


def test_stage__refuses_groups_of_another_stage(copy):
    with (
        pytest.raises(InputError, match="not a group of the stage"),
        open_run(copy).write_stage("index", {}) as writer,
    ):
        writer.put("anomalies/events", events({"rank": 1}))


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
