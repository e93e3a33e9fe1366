"""Claims of damage, verification and derived stages."""

import json
import shutil

import dask.array
import numpy as np
import pytest
from two_layers import record

from deeptracker import conform
from deeptracker.errors import DamagedRunError, InputError, RunError
from deeptracker.schema import group_of
from deeptracker.store import LogWriter, open_run, tail, verify
from deeptracker.store.arrays import row_files
from deeptracker.testing import simulate


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "closed"
    record(path)
    return path


@pytest.fixture
def copy(closed, tmp_path):
    row_files.cache_clear()
    return shutil.copytree(closed, tmp_path / "copy")


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
    assert found[0].rows == (0, 64)  # the chunk, not the shard
    assert "filters/dense/w_rms, iterations 0 to 63" in str(found[0])


def events(*documents):
    ranks = np.array([d["rank"] for d in documents])
    texts = [json.dumps(d) for d in documents]
    return conform.build("anomalies/events", {"document": texts, "rank": ranks, "iteration": ranks})


def test_verify_repair__drops_derived_stages_and_restores_tables_that_were_recorded(copy):
    parameters = open_run(copy).architecture["parameters"].values
    with open_run(copy).write_stage("anomalies", {}) as writer:
        writer.put("anomalies/events", events({"rank": 1, "kind": "anomaly"}))
    flip(copy / "log.zarr/anomalies/1/events/rank/c/0")
    flip(copy / "log.zarr/architecture/parameters/c/0")
    (copy / "tail").mkdir(exist_ok=True)
    (copy / "tail/000000099.tail").write_bytes(b"torn")
    assert [f.done for f in verify(copy, repair=True)] == [
        "its copy took its place",
        "dropped; analyze makes it again",
    ]
    assert not open_run(copy).has("anomalies/events")
    assert not list((copy / "tail").iterdir())
    assert verify(copy) == []
    np.testing.assert_array_equal(open_run(copy).architecture["parameters"], parameters)


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


def test_group_that_lacks_an_array__is_damaged_and_no_smaller_group(copy):
    shutil.rmtree(copy / "log.zarr/architecture/parameters")
    with pytest.raises(DamagedRunError, match="architecture is missing, or an array of it"):
        open_run(copy).architecture.load()
    assert [(f.group, f.variable) for f in verify(copy)] == [("architecture", "parameters")]


def test_repair__takes_a_damaged_coordinate_for_no_rows_of_the_tail(tmp_path):
    path = tmp_path / "run"
    simulate(path, model="tiny", iterations=40)
    with LogWriter(path, background=False) as writer:  # rows in the tail
        growth = writer._disk.commit.groups["layers/full"]
        row = {n: np.zeros(c.shape, c.dtype) for n, c in growth.columns.items() if n != growth.axis}
        writer.append("layers/full", 100, row)
        writer._flush()
        shutil.copytree(path, tmp_path / "copy")
    flip(tmp_path / "copy/log.zarr/layers/full/bin/c/0")
    (found,) = verify(tmp_path / "copy", repair=True)
    assert (found.group, found.variable, found.done) == ("layers/full", "bin", "its copy took its place")
    assert verify(tmp_path / "copy") == []
    assert not len(open_run(tmp_path / "copy").lost)
    copy = next((tmp_path / "copy/copies").glob("layers~full.*"))
    flip(tmp_path / "copy/log.zarr/layers/full/bin/c/0")
    copy.unlink()
    left = [f for f in verify(tmp_path / "copy", repair=True) if f.group]
    assert [(f.group, f.variable, f.repaired) for f in left] == [("layers/full", "bin", False)]
    assert not len(open_run(tmp_path / "copy").lost)


def test_repair__touches_nothing_where_what_is_damaged_cannot_be_kept(copy):
    flip(copy / "log.zarr/filters/dense/w_rms/c/0/0", at=120)
    before = (copy / "log.zarr/filters/dense/w_rms/c/0/0").read_bytes()
    (copy / "damaged").write_text("no folder")
    with pytest.raises(RunError, match="lies in its way"):
        verify(copy, repair=True)
    assert (copy / "log.zarr/filters/dense/w_rms/c/0/0").read_bytes() == before
    assert len(verify(copy)) == 1
