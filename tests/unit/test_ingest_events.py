"""Claims of reading TensorBoard event files; the files are written byte by byte, or by torch where it can."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from event_bytes import chunk, event, histogram, record, scalar, tensor, write
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptracker.ingest.eventfile import Histogram, Truncated, is_event_file, read_events
from deeptracker.ingest.histograms import moments, rebin
from deeptracker.ingest.tracker import meaning
from deeptracker.recording import ingest_run
from deeptracker.statistics import HISTOGRAM_EDGES
from deeptracker.store import open_run


def buckets(values, edges):
    """As trackers write it: upper limits of the buckets, counts; the ends are those of the values."""
    counts, _ = np.histogram(values, edges)
    return (
        float(values.min()), float(values.max()), float(values.sum()), float((values**2).sum()),
        edges[1:].tolist(), counts.tolist(),
    )  # fmt: skip


@pytest.fixture
def weights():
    return np.random.default_rng(3).normal(0, 0.3, 500)


def test_scalars__keep_step_wall_time_and_value(tmp_path):
    file = write(tmp_path / "a.tfevents.1", [event(7, scalar("loss", 0.25), scalar("acc", 0.5), wall_time=1234.5)])
    found = [(value.tag, value.step, value.wall_time, value.value) for value in read_events(file)]
    assert found == [("loss", 7, 1234.5, 0.25), ("acc", 7, 1234.5, 0.5)]


def test_tensors_of_tensorflow_2__the_first_value_counts_although_its_plugin_comes_after_it(tmp_path):
    rows = np.array([[-1, 0, 3], [0, 1, 5]], "<f8").tobytes()
    events = [event(step, tensor("w", "histograms", 2, rows, first=step == 0)) for step in (0, 1)]
    events.append(event(1, tensor("loss", "scalars", 1, struct.pack("<f", 0.5))))
    found = list(read_events(write(tmp_path / "a.tfevents.1", events)))
    assert [value.kind for value in found] == ["", "", ""]
    for value in found[:2]:
        assert isinstance(value.value, Histogram)
        assert value.value.edges.tolist() == [-1, 0, 1]
        assert value.value.counts.tolist() == [3, 5]
    assert found[2].value == 0.5


def test_other_kinds__are_named_and_not_read(tmp_path):
    image = chunk(1, b"picture") + chunk(4, b"\x08\x01")
    (found,) = read_events(write(tmp_path / "a.tfevents.1", [event(1, image)]))
    assert (found.value, found.kind) == (None, "images")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_event_files__cut_off_anywhere_give_every_whole_record_before_the_cut(data, tmp_path_factory):
    parts = [record(event(0))] + [record(event(step, scalar("loss", float(step)))) for step in range(1, 6)]
    content = b"".join(parts)
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.mktemp("cut") / "a.tfevents.1"
    path.write_bytes(content[:cut])
    ends = np.cumsum([len(part) for part in parts])
    complete = int((ends[1:] <= cut).sum())
    found = []
    try:
        for value in read_events(path):
            found.append(value.step)
        ended_well = True
    except Truncated:
        ended_well = False
    assert found == list(range(1, complete + 1))
    assert ended_well == (cut in (0, *ends.tolist()))
    assert is_event_file(path) == (cut >= 12)


@settings(max_examples=80, deadline=None)
@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_event_files__damaged_anywhere_never_give_a_wrong_value(at, value, tmp_path_factory):
    good = b"".join(record(event(step, *[scalar("loss", float(step))][:step])) for step in range(4))
    broken = bytearray(good)
    broken[at % len(good)] = value
    path = tmp_path_factory.mktemp("broken") / "a.tfevents.1"
    path.write_bytes(broken)
    found = []
    with suppress(Truncated):
        for one in read_events(path):
            found.append((one.step, one.value))
    assert found == [(step, float(step)) for step in range(1, 4)][: len(found)]
    assert len(found) == 3 or bytes(broken) != good


@settings(max_examples=80, deadline=None)
@given(content=st.binary(max_size=60))
def test_event_files__records_that_are_no_events_are_called_truncated_at_worst(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("strange") / "a.tfevents.1"
    path.write_bytes(record(event(0)) + record(content) + record(chunk(5, chunk(1, content))))
    with suppress(Truncated):
        list(read_events(path))


def test_histogram__moments_are_those_of_the_values_and_bins_keep_the_count(weights):
    low, high, total, square, limits, counts = buckets(weights, np.linspace(-2, 2, 60))
    edges = np.clip(np.array([-np.inf, *limits]), low, high)
    found = moments(Histogram(low, high, len(weights), total, square, edges, np.array(counts, float)), "w")
    assert found["w_mean"] == pytest.approx(weights.mean())
    assert found["w_std"] == pytest.approx(weights.std())
    assert found["w_rms"] == pytest.approx(np.sqrt((weights**2).mean()))
    assert (found["w_min"], found["w_max"]) == (weights.min(), weights.max())
    binned = rebin(edges, np.array(counts, float))
    assert binned.sum() == len(weights)
    assert len(binned) == len(HISTOGRAM_EDGES)


@pytest.mark.parametrize(
    ("tag", "want"),
    [
        ("conv1.weight", ("conv1", "w")),
        ("conv1.weight.grad", ("conv1", "g")),
        ("gradients/conv1.weight", ("conv1", "g")),
        ("layer1/0/conv/kernel_0", ("layer1.0.conv", "w")),
        ("fc/bias", ("fc", "bias")),
        ("conv1/activations", ("conv1", "activations")),
        ("something", ("something", "")),
    ],
)
def test_tags__tell_layer_and_what_it_is_of(tag, want):
    assert meaning(tag) == want


def test_ingest__makes_scalars_and_layers_of_events(tmp_path, weights):
    steps = range(0, 30, 10)
    source = tmp_path / "logs"
    source.mkdir()
    edges = np.linspace(-3, 3, 40)
    write(
        source / "events.out.tfevents.1.host",
        [
            event(
                step, scalar("train/loss", 1 / (step + 1)), scalar("lr", 0.1), scalar("val/acc", step / 30),
                histogram("conv1.weight", *buckets(weights + step / 100, edges)),
                histogram("conv1.weight.grad", *buckets(weights / 10, edges)),
                histogram("conv1.bias", -1, 1, 0, 1, [0, 1], [2, 2]),
            )
            for step in steps
        ],
    )  # fmt: skip
    done = ingest_run(source, tmp_path / "run")
    run = open_run(tmp_path / "run")
    scalars = run.dataset("scalars").load()
    assert scalars["iteration"].values.tolist() == list(steps)
    np.testing.assert_allclose(scalars["loss"], [1 / (step + 1) for step in steps], rtol=1e-6)
    np.testing.assert_allclose(scalars["learning_rate"][:, 0], 0.1, rtol=1e-6)
    np.testing.assert_allclose(scalars["val.acc"], [step / 30 for step in steps], rtol=1e-6)
    layers = run.dataset("layers/dense").load()
    assert layers["layer"].values.tolist() == ["conv1"]
    for row, step in enumerate(steps):
        assert float(layers["w_mean"][row, 0]) == pytest.approx((weights + step / 100).mean(), rel=1e-5)
        assert float(layers["g_norm2"][row, 0]) == pytest.approx(np.linalg.norm(weights / 10), rel=1e-5)
    ratio = np.linalg.norm(weights / 10) / np.linalg.norm(weights)
    assert float(layers["grad_ratio2"][0, 0]) == pytest.approx(ratio, rel=1e-5)
    assert np.isnan(layers["update_norm2"]).all()
    assert run.dataset("architecture")["filters"].values.tolist() == [0]
    assert int(run.dataset("layers/full")["w_hist"][0].sum()) == len(weights)
    assert any("biases" in why for _, why in done.left_out)


def test_ingest__a_file_that_a_kill_cut_off_gives_what_came_before_and_says_so(tmp_path):
    source = tmp_path / "logs"
    source.mkdir()
    path = write(source / "a.tfevents.1", [event(step, scalar("loss", step)) for step in range(1, 5)])
    path.write_bytes(path.read_bytes()[:-3])
    done = ingest_run(source, tmp_path / "run")
    assert open_run(tmp_path / "run").dataset("scalars")["iteration"].values.tolist() == [1, 2, 3]
    assert any("the end of a.tfevents.1" in what for what, _ in done.left_out)


def test_ingest__reads_what_torch_writes(tmp_path, weights):
    pytest.importorskip("tensorboard", reason="the writer of torch needs it")
    import torch
    from torch.utils.tensorboard import SummaryWriter

    source = tmp_path / "logs"
    with SummaryWriter(str(source)) as writer:
        for step in (0, 5):
            writer.add_scalar("loss", 2.0 + step, step)
            writer.add_histogram("fc.weight", torch.from_numpy(weights), step)
    ingest_run(source, tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.dataset("scalars")["loss"].values.tolist() == [2.0, 7.0]
    np.testing.assert_allclose(run.dataset("layers/dense")["w_std"].values[:, 0], weights.std(), rtol=1e-5)
