"""For any number of rows, any flushes and any selection, reading equals NumPy."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deeptracker.store import LogWriter, layout, open_run, shards

GROUP = "validation/test/raw"
SMALL = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def axis_key(draw, size):
    kind = draw(st.sampled_from(["all", "slice", "array", "int"]))
    if kind == "all" or not size:
        return slice(None)
    if kind == "int":
        return draw(st.integers(-size, size - 1))
    if kind == "array":
        return np.array(draw(st.lists(st.integers(-size, size - 1), min_size=0, max_size=12)), dtype=np.int64)
    step = draw(st.integers(-5, 5).filter(bool))
    key = slice(draw(st.integers(-size, size)), draw(st.integers(-size, size)), step)
    # xarray itself fails on empty slices that run backwards, with every lazily indexed backend.
    return key if step > 0 or len(range(*key.indices(size))) else slice(None)


def row(i, images):
    values = (np.arange(images) * 7 + i * 13) % 300
    return {
        "predicted": values.astype(np.int16),
        "correct": (values % 2).astype(np.int8),
        "loss": (values / 8).astype(np.float16),
    }


@SMALL
@given(data=st.data())
def test_reading__equals_numpy_for_any_history_and_selection(tmp_path_factory, monkeypatch, data):
    monkeypatch.setattr(layout, "SHARD_ROWS", (16, 16))
    monkeypatch.setattr(layout, "INNER", (4, 5))
    monkeypatch.setattr(layout, "PLAIN_CHUNK", 24)
    monkeypatch.setattr(shards, "_MERGE_FILES", 4)
    images = data.draw(st.integers(1, 13))
    steps = data.draw(
        st.lists(st.tuples(st.sampled_from(["flush", "reopen", "cut"]), st.integers(1, 40)), max_size=6)
    )
    path = tmp_path_factory.mktemp("run")
    writer = LogWriter(path, background=False)
    writer.append(GROUP, 0, row(0, images))
    positions = [0]
    for what, count in steps:
        for i in range(positions[-1] + 1, positions[-1] + 1 + count):
            writer.append(GROUP, i, row(i, images))
            positions.append(i)
        if what == "flush":
            writer.flush()
        elif what == "cut":
            at = positions[max(1, len(positions) - data.draw(st.integers(1, 30))) :][:1]
            if at:
                writer.cut(at[0])
                positions = [p for p in positions if p < at[0]]
        else:
            writer.close()
            writer = LogWriter(path, background=False)
            assert writer.last(GROUP) == positions[-1]
    writer.flush()
    expected = {name: np.stack([row(i, images)[name] for i in positions]) for name in row(0, images)}
    for close in (False, True):
        if close:
            writer.close()
        stored = open_run(path).dataset(GROUP)
        np.testing.assert_array_equal(stored["validation"], positions)
        for name, values in expected.items():
            np.testing.assert_array_equal(stored[name], values)
            rows, columns = data.draw(axis_key(len(positions))), data.draw(axis_key(images))
            np.testing.assert_array_equal(stored[name][rows, columns], values[rows][..., columns])
        lazy = open_run(path).dataset(GROUP, dask=True)
        assert set(lazy["loss"].chunks[0][:-1]) <= {16}
        np.testing.assert_array_equal(lazy["loss"], expected["loss"])
